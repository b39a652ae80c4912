"""What RFC 9112 says of messages, on raw sockets against one real gateway.

Each hostile message has a second request behind it, which must stay unanswered:
whoever reads the first one's end elsewhere than we do could have smuggled it.
What `test_hot_path.py`, `test_http_head.py` and `test_http_chunked.py` look at
is not looked at again.
"""

import contextlib
import json
import socket
import struct
import time

import pytest

from tests.edge_runtime.gateways import Gateway, infer_document, install_tiny

BODY_MAX_BYTES = 20_000
SLOW_S = 0.6
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = json.dumps(infer_document([[1.0, 2.0, 3.0, 4.0]])).encode()
PATH = b"/v2/models/tiny/infer"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("rfc") / "state"
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = Gateway(
        state_dir,
        PACKHORSE_BODY_MAX_BYTES=str(BODY_MAX_BYTES),
        PACKHORSE_HEAD_S=str(SLOW_S),
        PACKHORSE_BODY_S=str(SLOW_S),
        PACKHORSE_IDLE_S="5",
    )
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0
    assert "request_failed" not in gateway.log.read_text()


def post(*lines, body=b"", length=None, start=b"POST " + PATH + b" HTTP/1.1"):
    """Write a request whose lines after the first stand as they are given."""
    if length is None and body:
        length = len(body)
    declared = [b"Content-Length: %d" % length] if length is not None else []
    return b"\r\n".join([start, b"Host: a", *lines, *declared, b"", body])


def chunked(wire, *lines):
    return post(b"Transfer-Encoding: chunked", *lines) + wire


def read_reply(file, *, has_body=True):
    """Read one reply; return its status, 0 where the connection has ended."""
    line = file.readline()
    if not line:
        return 0
    length = 0
    while field := file.readline().strip():
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if has_body:
        file.read(length)
    return int(line.split()[1])


def converse(gateway, wire):
    """Send bytes and say that these were all; return the replies' statuses."""
    with gateway.connect() as connection:
        with contextlib.suppress(OSError):  # refused already
            connection.sendall(wire)
            connection.shutdown(socket.SHUT_WR)
        file = connection.makefile("rb")
        return list(iter(lambda: read_reply(file), 0))


HEADS = {
    "two spaces": post(start=b"POST  / HTTP/1.1"),
    "a space at the line's end": post(start=b"POST / HTTP/1.1 "),
    "a space before the method": post(start=b" POST / HTTP/1.1"),
    "tabs": post(start=b"POST\t/\tHTTP/1.1"),
    "a method in small letters": post(start=b"post / HTTP/1.1"),
    "a method with odd letters": post(start=b"PO@ST / HTTP/1.1"),
    "a method nobody knows": post(start=b"BREW / HTTP/1.1"),
    "a space in the target": post(start=b"GET /v2 /x HTTP/1.1"),
    "NUL in the target": post(start=b"GET /\0 HTTP/1.1"),
    "a byte above ASCII in the target": post(start=b"GET /\xff HTTP/1.1"),
    "a control character in the target": post(start=b"GET /\x01 HTTP/1.1"),
    "a fragment": post(start=b"GET /v2#x HTTP/1.1"),
    "no target": post(start=b"GET HTTP/1.1"),
    "an authority for a target": post(start=b"GET a:80 HTTP/1.1"),
    "an asterisk for a path": post(start=b"GET * HTTP/1.1"),
    "an asterisk before a path": post(start=b"OPTIONS */v2 HTTP/1.1"),
    "a bare line feed before the method": b"\n" + post(start=b"GET / HTTP/1.1"),
    "a response": post(start=b"HTTP/1.1 200 OK"),
    "another protocol": post(start=b"GET / RTSP/1.0"),
    "version 1.10": post(start=b"GET / HTTP/1.10"),
    "version 01.1": post(start=b"GET / HTTP/01.1"),
    "version in small letters": post(start=b"GET / http/1.1"),
    "the beginning of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "a space before the colon": post(b"A : b"),
    "a tab before the colon": post(b"A\t: b"),
    "a space before the colon of Host": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded line": post(b"A: b\r\n c"),
    "a line folded by a tab": post(b"A: b\r\n\tc"),
    "a first line that is folded": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a bare carriage return": post(b"A: b\rC: d"),
    "two carriage returns": post(b"A: b\r"),
    "a bare line feed behind the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "NUL in a name": post(b"A\0: b"),
    "a control character in a value": post(b"A: \x01"),
    "delete in a value": post(b"A: \x7f"),
    "no name": post(b": b"),
    "no colon": post(b"A"),
    "a parenthesis in a name": post(b"A(: b"),
    "a byte above ASCII in a name": post(b"A\xff: b"),
    "two hosts": post(b"Host: a"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_may_be_read_in_two_ways_ends_the_connection(gateway, name):
    assert converse(gateway, HEADS[name] + LIVE) in ([400], [505])


LENGTHS = {
    "none": b"",
    "two in one": b"5 5",
    "a list of equal ones": b"5,5",
    "a comma behind it": b"5,",
    "a fraction": b"5.0",
    "an exponent": b"1e1",
    "hex": b"0x5",
    "a plus": b"+5",
    "a minus": b"-5",
    "minus zero": b"-0",
    "quotation marks": b'"5"',
    "a vertical tab": b"\x0b5",
    "NUL": b"5\0",
    "digits of another script": "\u0665".encode(),
    "2 to the power of 64": b"18446744073709551616",
    "2 to the power of 64, and five": b"18446744073709551621",
    "a thousand digits": b"9" * 1000,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_that_is_no_number_ends_the_connection(gateway, name):
    wire = post(b"Content-Length: " + LENGTHS[name], body=b"") + b"12345" + LIVE
    assert converse(gateway, wire) == [400]


def test_a_length_beyond_every_limit_is_refused_without_memory_for_it(gateway):
    wire = post(length=2**64 - 1) + LIVE
    assert converse(gateway, wire) == [413]


@pytest.mark.parametrize(
    "lines",
    [
        (b"content-length: 5", b"CONTENT-LENGTH: 5"),
        (b"Content-Length: 0", b"Content-Length: 5"),
        (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: Chunked", b"content-length: 0"),
        (b"Transfer-Encoding: identity", b"Content-Length: 5"),
        (b"Transfer-Encoding:\tchunked", b"Content-Length:\t5"),
    ],
)
def test_two_words_on_the_bodys_end_end_the_connection(gateway, lines):
    wire = post(*lines) + b"0\r\n\r\n" + LIVE
    assert converse(gateway, wire) in ([400], [501])


CODINGS = {
    "none": (b"",),
    "chunked before another": (b"chunked, identity",),
    "another before chunked": (b"identity, chunked",),
    "chunked twice": (b"chunked, chunked",),
    "chunked twice in two lines": (b"chunked", b"chunked"),
    "chunked, then another line": (b"chunked", b"identity"),
    "another, then chunked in a line": (b"gzip", b"chunked"),
    "a letter before": (b"xchunked",),
    "a letter behind": (b"chunkedx",),
    "a comma before": (b",chunked",),
    "a comma behind": (b"chunked,",),
    "a parameter": (b"chunked;q=1",),
    "quotation marks": (b'"chunked"',),
    "a vertical tab": (b"\x0bchunked",),
    "NUL": (b"chunked\0",),
    "a folded line": (b"\r\n chunked",),
}


@pytest.mark.parametrize("name", CODINGS)
def test_a_coding_that_is_not_just_chunked_ends_the_connection(gateway, name):
    lines = [b"Transfer-Encoding: " + value for value in CODINGS[name]]
    wire = post(*lines) + b"0\r\n\r\n" + LIVE
    assert converse(gateway, wire) in ([400], [501])


@pytest.mark.parametrize("value", [b" chunked", b"chunked", b"\tCHUNKED", b" Chunked"])
def test_chunked_is_read_in_any_case_and_with_any_space_before_it(gateway, value):
    wire = post(b"Transfer-Encoding:" + value) + b"%x\r\n%b\r\n" % (len(BODY), BODY)
    assert converse(gateway, wire + b"0\r\n\r\n" + LIVE) == [200, 200]


@pytest.mark.parametrize(
    "name", [b"Transfer_Encoding", b"X-Transfer-Encoding", b"Transfer-Encoding-"]
)
def test_what_is_only_called_like_a_coding_is_none(gateway, name):
    assert converse(gateway, post(name + b": chunked") + LIVE) == [400, 200]


CHUNKS = {
    "no size": b"\r\n\r\n",
    "no hex": b"g\r\n",
    "a minus": b"-1\r\na\r\n0\r\n\r\n",
    "a plus": b"+1\r\na\r\n0\r\n\r\n",
    "0x": b"0x1\r\na\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\n",
    "a space before": b" 1\r\na\r\n0\r\n\r\n",
    "a space behind": b"1 \r\na\r\n0\r\n\r\n",
    "2 to the power of 64, and one": b"10000000000000001\r\na\r\n0\r\n\r\n",
    "a bare line feed behind the size": b"1\na\r\n0\r\n\r\n",
    "a bare carriage return behind the size": b"1\ra\r\n0\r\n\r\n",
    "a bare line feed in the extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "a bare carriage return in the extension": b"1;a\rb\r\na\r\n0\r\n\r\n",
    "NUL in the extension": b"1;\0\r\na\r\n0\r\n\r\n",
    "a long extension": b"1;" + b"a" * 5000 + b"\r\na\r\n0\r\n\r\n",
    "more bytes than said": b"1\r\nab\r\n0\r\n\r\n",
    "no line end behind the bytes": b"1\r\na0\r\n\r\n",
    "a bare line feed behind the bytes": b"1\r\na\n0\r\n\r\n",
    "a bare line feed at the end": b"1\r\na\r\n0\n\n",
    "a bare line feed in the trailers": b"1\r\na\r\n0\r\nA: b\n\r\n",
    "a folded trailer": b"1\r\na\r\n0\r\nA: b\r\n c\r\n\r\n",
    "a request for a trailer": b"1\r\na\r\n0\r\n" + LIVE,
    "too many trailers": b"1\r\na\r\n0\r\n" + b"A: b\r\n" * 100 + b"\r\n",
    "a long trailer": b"1\r\na\r\n0\r\nA: " + b"b" * 5000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_that_may_be_read_in_two_ways_end_the_connection(gateway, name):
    assert converse(gateway, chunked(CHUNKS[name]) + LIVE) == [400]


@pytest.mark.parametrize(
    "size", [b"%x", b"%X", b"00%x", b'%x;a=b;c="d;e"', b"%x \t; a"]
)
def test_sizes_and_extensions_are_read_as_they_are_meant(gateway, size):
    chunk = size % len(BODY) + b"\r\n" + BODY + b"\r\n"
    assert converse(gateway, chunked(chunk + b"0\r\n\r\n") + LIVE) == [200, 200]


def test_trailers_are_passed_over_and_change_nothing(gateway):
    trailers = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\n"
    chunk = b"%x\r\n%b\r\n0;last\r\n" % (len(BODY), BODY)
    wire = chunked(chunk + trailers + b"\r\n")
    assert converse(gateway, wire + LIVE) == [200, 200]


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"CONNECT a:80 HTTP/1.1", 501),
        (b"TRACE / HTTP/1.1", 405),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/3.0", 400),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"GET " + b"/a" * 20_000 + b" HTTP/1.1", 414),
        (b"GET /" + b"a?" * 8_192 + b" HTTP/1.1", 414),
    ],
)
def test_what_is_well_formed_but_not_served_has_its_own_status(gateway, start, status):
    got = converse(gateway, post(b"Connection: close", start=start))
    assert got == [status]


def test_a_head_with_too_many_lines_is_refused(gateway):
    wire = post(*[b"A: b"] * 101) + LIVE
    assert converse(gateway, wire) == [431]


@pytest.mark.parametrize(
    "start",
    [
        b"GET http://a/v2/health/live HTTP/1.1",
        b"GET http://b:81/v2/health/live?x=y HTTP/1.1",
        b"GET HTTPS://b/v2/health/live HTTP/1.1",
        b"GET /v2/health/live HTTP/1.0",
        b"\r\nGET /v2/health/live HTTP/1.1",
    ],
)
def test_what_a_server_must_take_is_taken(gateway, start):
    assert converse(gateway, post(start=start)) == [200]


def test_http_1_0_closes_unless_it_is_asked_to_stay(gateway):
    old = b"GET /v2/health/live HTTP/1.0\r\n"
    assert converse(gateway, old + b"\r\n" + LIVE) == [200]
    assert (
        converse(gateway, old + b"Connection: keep-alive\r\n\r\n" + LIVE) == [200] * 2
    )


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(gateway):
    lines = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c")
    assert converse(gateway, post(*lines, body=BODY) + LIVE) == [200, 200]


def test_a_request_without_a_length_has_no_body(gateway):
    assert converse(gateway, post() + LIVE) == [400, 200]


def test_a_body_of_a_get_is_read_past(gateway):
    wire = post(body=LIVE, start=b"GET /v2/health/live HTTP/1.1")
    assert converse(gateway, wire + LIVE) == [200, 200]


def test_two_requests_are_answered_wherever_their_bytes_are_cut(gateway):
    wire = post(body=BODY) + chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    with gateway.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = connection.makefile("rb")
        for cut in range(1, len(wire)):
            connection.sendall(wire[:cut])
            time.sleep(0.0002)  # so that the server reads it by itself
            connection.sendall(wire[cut:])
            assert [read_reply(file), read_reply(file)] == [200, 200], cut


def test_what_was_sent_before_the_client_closed_its_side_is_all_answered(gateway):
    inferences = post(body=BODY) * 5
    slow = post(start=b"GET /status HTTP/1.1")
    assert converse(gateway, slow + inferences + slow + inferences) == [200] * 12


def test_half_a_request_at_the_end_is_dropped_and_the_ones_before_answered(gateway):
    begun_s = time.monotonic()
    assert converse(gateway, LIVE * 2 + post(length=10) + b"123")[:2] == [200, 200]
    assert time.monotonic() - begun_s < SLOW_S + 1.0


def test_head_is_answered_by_the_head_that_get_would_have(gateway):
    with gateway.connect() as connection:
        connection.sendall(LIVE.replace(b"GET", b"HEAD") + LIVE)
        file = connection.makefile("rb")
        assert read_reply(file, has_body=False) == 200
        assert read_reply(file) == 200


def test_who_expects_to_go_on_is_told_so_only_where_the_body_would_be_taken(gateway):
    asks = post(b"Expect: 100-continue", length=BODY_MAX_BYTES + 1)
    assert converse(gateway, asks) == [413]
    assert converse(gateway, post(b"Expect: more", length=5)) == [417]
    told = post(b"Expect: 100-CONTINUE", length=len(BODY))
    assert converse(gateway, told + BODY) == [200]  # it did not wait to be told


def test_a_chunked_body_too_long_is_refused_before_it_is_whole(gateway):
    with gateway.connect() as connection:
        connection.sendall(chunked(b"%x\r\n" % (BODY_MAX_BYTES + 1)))
        file = connection.makefile("rb")
        assert read_reply(file) == 413
        assert read_reply(file) == 0


@pytest.mark.parametrize(
    "begin",
    [b"GET / HTTP/1.1\r\n", post(length=10_000), chunked(b""), chunked(b"fff\r\n")],
    ids=["head", "body", "size", "chunk"],
)
def test_bytes_that_trickle_do_not_keep_a_connection_open(gateway, begin):
    begun_s = time.monotonic()
    with gateway.connect() as connection:
        connection.sendall(begin)
        file = connection.makefile("rb")
        connection.settimeout(0.05)
        while time.monotonic() - begun_s < SLOW_S + 2.0:
            try:
                connection.sendall(b"0")
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        connection.settimeout(5.0)
        assert read_reply(file) == 408
    assert SLOW_S / 2 < time.monotonic() - begun_s < SLOW_S + 1.5


def test_a_client_that_breaks_off_leaves_the_server_as_it_was(gateway):
    for wire in (
        b"GET",
        post(length=10) + b"123",
        chunked(b"5\r\n12"),
        post(body=BODY),
    ):
        connection = gateway.connect()
        reset = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        connection.sendall(wire)
        connection.close()
    assert converse(gateway, LIVE) == [200]
