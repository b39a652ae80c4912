"""Heads that two readers could understand differently are refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.http.head import (
    REMEMBERED_MAX,
    REMEMBERED_MAX_BYTES,
    SEEN_MAX,
    HeadMemory,
    HttpError,
    parse_head,
)


def head(*lines, start="POST /x HTTP/1.1", host="Host: a"):
    return "\r\n".join([start, *([host] if host else []), *lines, "", ""]).encode(
        "latin-1"
    )


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (head("Content-Length: 5", "Content-Length: 5"), 400),
        (head("Content-Length: 5", "Content-Length: 6"), 400),
        (head("Content-Length: 5, 5"), 400),
        (head("Content-Length: +5"), 400),
        (head("Content-Length: 0x5"), 400),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        (head("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (head("Transfer-Encoding: chunked, chunked"), 400),
        (head("Transfer-Encoding: gzip, chunked"), 501),
        (head("Transfer-Encoding: identity"), 501),
        (head("Transfer-Encoding: xchunked"), 501),
        (head("Transfer-Encoding : chunked"), 400),
        (head("A: b\n Content-Length: 5"), 400),
        (head("A: b\nContent-Length: 5"), 400),
        (b"POST /x HTTP/1.1\nHost: a\n\r\n\r\n", 400),
        (head("A: b\x00c"), 400),
        (head(" folded"), 400),
        (head(host=None), 400),
        (head("Host: b"), 400),
        (head(start="GET /x HTTP/2.0"), 505),
        (head(start="GET /x"), 400),
        (head(start="GET x HTTP/1.1"), 400),
        (head(start="GET a://b/ HTTP/1.1"), 400),
        (head(start="CONNECT a:1 HTTP/1.1"), 501),
        (head("Expect: a miracle"), 417),
        (head("Transfer-Encoding: chunked", start="POST /x HTTP/1.0"), 400),
        (head(*[f"H{i}: v" for i in range(101)]), 431),
        (b"\r\n\r\n", 400),
    ],
)
def test_a_bad_head_is_refused(wire, status):
    with pytest.raises(HttpError) as caught:
        parse_head(wire)
    assert caught.value.status == status, caught.value.sentence


@pytest.mark.parametrize(
    ("wire", "keeps"),
    [
        (head(), True),
        (head("Connection: close"), False),
        (head("Connection: keep-alive, Close"), False),
        (head("Connection: close", "Connection: keep-alive"), False),
        (head(start="GET / HTTP/1.0"), False),
        (head("Connection: Keep-Alive", start="GET / HTTP/1.0", host=None), True),
    ],
)
def test_who_stays_connected(wire, keeps):
    assert parse_head(wire).keeps_alive is keeps


@pytest.mark.parametrize(
    ("target", "url", "path"),
    [
        ("/x?y=/z", b"/x?y=/z", b"/x"),
        ("//x", b"//x", b"//x"),
        ("http://a/x?y", b"/x?y", b"/x"),
        ("HTTPS://a:1/", b"/", b"/"),
        ("http://a", b"/", b"/"),
        ("http://a?x", b"/?x", b"/"),
    ],
)
def test_of_a_whole_address_only_the_path_matters(target, url, path):
    got = parse_head(head(start=f"GET {target} HTTP/1.1"))
    assert (got.url, got.path) == (url, path)


def test_an_upgrade_that_is_asked_for_is_passed_over():
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "Content-Length: 3")
    got = parse_head(head(*lines))
    assert (got.method, got.path, got.length_bytes) == (b"POST", b"/x", 3)
    assert got.keeps_alive


def test_a_head_says_what_follows():
    got = parse_head(head("Content-Length: 12", "Expect: 100-continue"))
    assert (got.method, got.url, got.length_bytes) == (b"POST", b"/x", 12)
    assert got.expects_continue
    assert not got.is_chunked


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_else(wire):
    with contextlib.suppress(HttpError):
        parse_head(wire + b"\r\n\r\n")


def test_a_head_that_came_twice_is_not_read_a_third_time():
    memory = HeadMemory()
    first = memory.read(b"GET /a?b=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    head = memory.read(b"GET /a?b=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head == first
    assert head.path == b"/a"
    assert memory.read(b"GET /a?b=1 HTTP/1.1\r\nHost: a\r\n\r\n") is head
    assert memory.read(b"GET /a?b=2 HTTP/1.1\r\nHost: a\r\n\r\n") is not head


def test_a_head_that_is_refused_is_refused_again():
    memory = HeadMemory()
    for _ in range(2):
        with pytest.raises(HttpError, match="Host"):
            memory.read(b"GET / HTTP/1.1\r\n\r\n")


def test_heads_are_remembered_within_a_bound():
    memory = HeadMemory()
    first = b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n"
    memory.read(first)
    head = memory.read(first)
    for number in range(1, REMEMBERED_MAX + 1):
        for _ in range(2):
            memory.read(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert memory.read(first) is not head


def test_heads_that_came_once_are_not_kept():
    memory = HeadMemory()
    for number in range(2 * SEEN_MAX):
        memory.read(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert len(memory) == 0


def test_a_long_head_is_not_remembered():
    memory = HeadMemory()
    long = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * REMEMBERED_MAX_BYTES)
    assert len({id(head) for head in [memory.read(long) for _ in range(3)]}) == 3
