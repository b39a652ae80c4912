"""How a body is read, and which are refused."""

import asyncio
import gzip
import zlib

import pytest

from functions.errors import EncodingError, OverloadedError
from functions.prediction.bodies import Bodies, GoneError, uncompressed
from packhorse.errors import LimitExceededError, MalformedError


def coming(*chunks, is_cut=False):
    """Return what hands out a body's chunks, as a server does."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    if is_cut:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    handed_out = iter(messages)

    async def receive():
        return next(handed_out)

    return receive


def read(bodies, receive, headers=(), limit_bytes=10):
    return asyncio.run(bodies.read(receive, dict(headers), limit_bytes=limit_bytes))


@pytest.mark.parametrize("chunks", [[b""], [b"0123456789"], [b"01", b"", b"23"]])
def test_a_body_is_read_whole(chunks):
    assert read(Bodies(100), coming(*chunks)) == b"".join(chunks)


def test_a_body_whose_head_says_too_much_is_not_read():
    headers = {b"content-length": b"11"}

    with pytest.raises(LimitExceededError, match="at most 10 bytes"):
        read(Bodies(100), None, headers)


@pytest.mark.parametrize("chunks", [[b"0" * 11], [b"0" * 8, b"0" * 8, b"never read"]])
def test_a_body_of_unknown_length_is_cut_at_the_limit(chunks):
    receive = coming(*chunks)

    with pytest.raises(LimitExceededError, match="at most 10 bytes"):
        read(Bodies(100), receive)


@pytest.mark.parametrize("chunks", [[], [b"0"]])
def test_a_caller_that_leaves_meanwhile_is_noticed(chunks):
    with pytest.raises(GoneError):
        read(Bodies(100), coming(*chunks, is_cut=True))


def test_too_much_that_is_half_here_is_refused_and_room_is_given_back():
    bodies = Bodies(6)

    with pytest.raises(OverloadedError):
        read(bodies, coming(b"0123", b"4567", b"8"))

    assert read(bodies, coming(b"01", b"23", b"45")) == b"012345"
    assert read(bodies, coming(b"0123456789")) == b"0123456789"


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("Deflate", zlib.compress)],
)
def test_a_coding_is_taken_off(coding, compress):
    headers = {b"content-encoding": coding.encode()}

    body = read(Bodies(100), coming(compress(b"a" * 50)), headers, limit_bytes=60)

    assert body == b"a" * 50


def test_identity_is_no_coding():
    assert read(Bodies(9), coming(b"a"), {b"content-encoding": b"identity"}) == b"a"


def test_what_unpacks_to_more_than_the_limit_is_refused():
    bomb = zlib.compress(b"0" * 10_000_000)

    with pytest.raises(LimitExceededError):
        uncompressed(bomb, b"deflate", limit_bytes=len(bomb))


@pytest.mark.parametrize(
    "body", [b"", b"no gzip", gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + b"x"]
)
def test_what_is_not_in_its_coding_is_refused(body):
    with pytest.raises(MalformedError, match="not gzip"):
        uncompressed(body, b"gzip", limit_bytes=100)


@pytest.mark.parametrize("coding", [b"br", b"gzip, deflate", b"\xff"])
def test_other_codings_are_refused(coding):
    with pytest.raises(EncodingError, match="gzip or deflate"):
        uncompressed(b"", coding, limit_bytes=100)
