"""Compressed bodies: what is taken, what is refused, and what that may cost."""

import contextlib
import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import UnknownCodingError
from edge_runtime.http.codings import CODED_MIN_BYTES, MEMBERS_MAX, deflate, inflate
from edge_runtime.http.replies import Reply, refusal
from packhorse.errors import LimitExceededError, MalformedError

LIMIT = 1024 * 1024
TEXT = b"0.25, " * 2000
CODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": lambda body: zlib.compress(body, wbits=-15),
}
CODINGS = [pytest.param(name.split()[-1], CODERS[name], id=name) for name in CODERS]


def read_coded(reply):
    """Take a reply's coding off as a client would."""
    bits = {"gzip": 31, "deflate": 15}[dict(reply.headers)["Content-Encoding"]]
    return zlib.decompress(reply.body, bits)


@pytest.mark.parametrize(("coding", "code"), CODINGS)
@given(body=st.binary(max_size=3000), repeats=st.integers(1, 300))
def test_what_a_client_compressed_comes_out_as_it_was(coding, code, body, repeats):
    assert inflate(code(body * repeats), coding, LIMIT) == body * repeats


@pytest.mark.parametrize(("coding", "code"), CODINGS)
def test_a_body_longer_than_one_step_comes_out_as_it_was(coding, code):
    body = random.Random(1).randbytes(300_000) + bytes(600_000)

    assert inflate(memoryview(code(body)), coding, LIMIT) == body


def test_a_gzip_body_may_have_several_members():
    body = b"".join(gzip.compress(TEXT[k : k + 1000]) for k in range(0, 12_000, 1000))

    assert inflate(body, "gzip", LIMIT) == TEXT


def test_gzip_has_an_old_name():
    assert inflate(gzip.compress(TEXT), "x-gzip", LIMIT) == TEXT


@pytest.mark.parametrize(("coding", "code"), CODINGS)
def test_a_body_may_be_as_long_as_its_limit_and_no_longer(coding, code):
    assert len(inflate(code(bytes(LIMIT)), coding, LIMIT)) == LIMIT

    with pytest.raises(LimitExceededError, match=f"{LIMIT} bytes long once"):
        inflate(code(bytes(LIMIT + 1)), coding, LIMIT)


@pytest.mark.parametrize(("coding", "code"), CODINGS)
def test_a_bomb_takes_no_more_memory_than_the_limit(coding, code):
    bomb = code(bytes(64 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceededError):
            inflate(bomb, coding, LIMIT)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 2 * LIMIT


def test_a_bomb_of_many_members_is_refused_as_well():
    bomb = gzip.compress(bytes(LIMIT // 8)) * 9

    with pytest.raises(LimitExceededError):
        inflate(bomb, "gzip", LIMIT)


def test_members_that_hold_nothing_are_counted():
    empty = gzip.compress(b"")
    assert inflate(empty * MEMBERS_MAX, "gzip", LIMIT) == b""

    with pytest.raises(LimitExceededError, match="members"):
        inflate(empty * (MEMBERS_MAX + 1), "gzip", LIMIT)


@pytest.mark.parametrize(("coding", "code"), CODINGS)
@given(data=st.data())
def test_a_body_cut_anywhere_is_refused(coding, code, data):
    body = code(TEXT)
    end = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(MalformedError):
        inflate(body[:end], coding, LIMIT)


@pytest.mark.parametrize(("coding", "code"), CODINGS)
@pytest.mark.parametrize("rest", [b"\0", b"{}", b"\x1f\x8b", bytes(100_000)])
def test_nothing_may_follow_the_body(coding, code, rest):
    with pytest.raises(MalformedError):
        inflate(code(TEXT) + rest, coding, LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(body=st.binary(max_size=200))
def test_whatever_comes_is_inflated_or_refused(coding, body):
    with contextlib.suppress(MalformedError):
        assert len(inflate(body, coding, 1000)) <= 1000


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(at=st.integers(0, 60), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_no_other_body(coding, at, bit):
    # gzip's head has a time and a system, which say nothing of the body.
    coded = bytearray(CODERS[coding](TEXT))
    coded[at % len(coded)] ^= 1 << bit

    with contextlib.suppress(MalformedError):
        assert inflate(coded, coding, LIMIT) == TEXT


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "gzip, deflate", "identity, gzip", "x"]
)
def test_an_unknown_coding_is_refused_with_those_that_are_known(coding):
    with pytest.raises(UnknownCodingError, match="gzip or deflate") as caught:
        inflate(b"", coding, LIMIT)

    reply = refusal(caught.value)
    assert reply.status == 415
    assert ("Accept-Encoding", "gzip, deflate") in reply.headers


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_answer_is_compressed_for_who_wishes_it(coding):
    reply = deflate(Reply(200, TEXT, headers=(("X-Kept", "1"),)), coding)

    assert read_coded(reply) == TEXT
    assert len(reply.body) < len(TEXT) / 10
    assert ("X-Kept", "1") in reply.headers
    assert ("Vary", "Accept-Encoding") in reply.headers


@pytest.mark.parametrize(
    ("reply", "coding"),
    [
        (Reply(200, TEXT), ""),
        (Reply(400, TEXT), "gzip"),
        (Reply(200, bytes(CODED_MIN_BYTES - 1)), "gzip"),
        (Reply(200, random.Random(1).randbytes(5000)), "gzip"),
    ],
    ids=["unwished", "an error", "short", "would be longer"],
)
def test_other_answers_stay_as_they_are(reply, coding):
    assert deflate(reply, coding) is reply
