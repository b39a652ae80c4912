"""Our own HTTP/1.1 client: a copy of bytes to upstream and back, and little more.

Others cost more CPU for a request than the whole rest of the proxy. What is here
is what a proxy needs: connections that stay open, deadlines that hold whatever
upstream does, and a clear word on whether a request may be sent again.

    client          one request and its answer; sent again where that is safe
    pool            which connection a request gets, or when it may open one
    connection      one connection's bytes both ways, and its deadline
    answer_reader   from bytes to one answer, with every limit on the way
    request_heads   the head of a request, from what stays the same and what does not
    answer, origin  what comes back, and from where
"""
