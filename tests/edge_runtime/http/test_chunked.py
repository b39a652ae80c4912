"""Chunked bodies, however they are cut on the way."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.http.chunked import ChunkedBody
from edge_runtime.http.head import HttpError


def feed(body, pieces, limit_bytes=1000):
    """Feed pieces; return the body once whole and the bytes that were left."""
    chunked = ChunkedBody(limit_bytes)
    waiting, is_whole = b"", False
    for piece in pieces:
        waiting += piece
        used, is_whole = chunked.feed(memoryview(waiting))
        waiting = waiting[used:]
        if is_whole:
            break
    assert is_whole, body
    return bytes(chunked.body), waiting


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    cuts=st.lists(st.integers(0, 400), max_size=8),
    extension=st.sampled_from([b"", b";a=b", b' ; q="x"']),
    trailer=st.sampled_from([b"", b"X-Sum: 1\r\n"]),
)
def test_a_body_is_whole_wherever_it_is_cut(chunks, cuts, extension, trailer):
    lines = [b"%x%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks]
    wire = b"".join(lines) + b"0\r\n" + trailer + b"\r\n"
    edges = sorted({0, len(wire), *(c for c in cuts if c < len(wire))})
    pieces = [wire[a:b] for a, b in pairwise(edges)]
    pieces[-1] += b"GET / HTTP/1.1"

    got, left = feed(wire, pieces)

    assert got == b"".join(chunks)
    assert left == b"GET / HTTP/1.1"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"+1\r\n", 400),
        (b"0x1\r\n", 400),
        (b"1_0\r\n", 400),
        (b"123456789\r\n", 400),
        (b"1\n", 400),
        (b"1 \r\n", 400),
        (b" 1\r\n", 400),
        (b"\r\n", 400),
        (b"1;a\rb\r\n", 400),
        (b"0\r\nGET / HTTP/1.1\r\n", 400),
        (b"0\r\n a: b\r\n", 400),
        (b"0\r\na: b\n\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"1;" + b"a" * 2000, 400),
        (b"0\r\n" + b"a: b\r\n" * 40, 400),
        (b"3e9\r\n", 413),
        (b"3e8\r\n" + b"a" * 1000 + b"\r\n1\r\n", 413),
        (b"ffffffff\r\n", 413),
    ],
)
def test_a_broken_or_long_body_is_refused(wire, status):
    with pytest.raises(HttpError) as caught:
        ChunkedBody(1000).feed(memoryview(wire))
    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else_or_grow_past_its_limit(wire):
    chunked = ChunkedBody(64)
    with contextlib.suppress(HttpError):
        chunked.feed(memoryview(wire))
    assert len(chunked.body) <= 64
