"""Ways to spoil what HTTP itself is made of: nobody knows then where a request ends."""

from tests.fuzz.odd_bytes import spoil_bytes


def _flip_wire(random, wire):
    return bytearray(spoil_bytes(random, wire))


def _spoil_head(random, wire):
    """Spoil bytes of the first head alone."""
    end = wire.find(b"\r\n\r\n") + 4
    return bytearray(spoil_bytes(random, wire[:end])) + wire[end:]


def _spoil_length(random, wire):
    """Say another length, or in another way."""
    at = wire.find(b"Content-Length: ")
    if at < 0:
        return wire.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", 1)
    end = wire.find(b"\r\n", at)
    said = bytes(wire[at + 16 : end])
    number = int(said) if said.isdigit() else 5
    odd = random.choice(
        (
            b"0",
            b"-1",
            b"+5",
            b"0x10",
            b"1e3",
            b"9" * 30,
            b"99999999",
            b" " + said,
            said + b" ",
            said + b"," + said,
            b"",
            said + b"\r\nContent-Length: 7",
            said + b"\r\nTransfer-Encoding: chunked",
            b"%d" % (number + 1),
            b"%d" % max(0, number - 1),
        )
    )
    return wire[: at + 16] + odd + wire[end:]


def _spoil_chunk(random, wire):
    """Spoil a chunk's line, or turn a body into chunks that are none."""
    end = wire.find(b"\r\n\r\n")
    line = random.choice(
        (
            b"zz",
            b"-1",
            b"0x5",
            b"ffffffff",
            b"fffffffff",
            b"5;a=b",
            b"5 ;x",
            b"",
            b"5\n",
            b"0",
            b"1" * 2000,
            b"00000005",
        )
    )
    head = (
        wire[:end]
        if b"chunked" in wire[:end]
        else wire[:end].replace(b"Content-Length", b"X-Was")
        + b"\r\nTransfer-Encoding: "
        + random.choice(
            (
                b"chunked",
                b"Chunked",
                b"gzip, chunked",
                b"identity",
                b"chunked, chunked",
                b"\x0bchunked",
            )
        )
    )
    return head + b"\r\n\r\n" + line + b"\r\n" + wire[end + 4 :]


def _cut_wire(random, wire):
    return wire[: random.randrange(len(wire) + 1)]


def _insert_line(random, wire):
    """Put a line into the head that should not stand there."""
    end = wire.find(b"\r\n") + 2
    line = random.choice(
        (
            b"Host: b\r\n",
            b": x\r\n",
            b" folded\r\n",
            b"A : b\r\n",
            b"A\r\n",
            b"A: b\n",
            b"\r\n",
            b"A: \x00\r\n",
            b"Expect: x\r\n",
            b"Connection: close\r\n",
            b"X: y\r\n" * 120,
            b"Content-Length: 0\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
            b"GET / HTTP/1.1\r\n",
        )
    )
    return wire[:end] + line + wire[end:]


def _spoil_line(random, wire):
    """Replace the request line."""
    end = wire.find(b"\r\n")
    line = random.choice(
        (
            b"GET / HTTP/1.0",
            b"GET / HTTP/2.0",
            b"GET / HTTP/0.9",
            b"GET /",
            b"PRI * HTTP/2.0",
            b"\x16\x03\x01\x02\x00",
            b"CONNECT a:1 HTTP/1.1",
            b"POST  /v2 HTTP/1.1",
            b"POST /v2 HTTP/1.1 ",
            b"GET /v2#a HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET / HTTP/1.11",
            b"",
            b"\r\nGET / HTTP/1.1",
            b"GET\t/\tHTTP/1.1",
        )
    )
    return wire[: max(end, 0)] * 0 + bytearray(line) + wire[max(end, 0) :]


WAYS = (
    _flip_wire,
    _spoil_head,
    _spoil_head,
    _spoil_length,
    _spoil_length,
    _spoil_chunk,
    _cut_wire,
    _insert_line,
    _spoil_line,
)
