"""The reader of answers, whatever pieces and bytes it is fed."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.adapters.upstream.answer_reader import AnswerReader
from functions.errors import BrokenAnswerError

MAX_BYTES = 1000
BODY = bytes(range(256)) * 3
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 768\r\nA: b\r\n\r\n" + BODY,
    "chunks": (
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"100;a=b\r\n"
        + BODY[:256]
        + b"\r\n200\r\n"
        + BODY[256:]
        + b"\r\n0\r\nT: u\r\n\r\n"
    ),
}


def read(pieces):
    reader = AnswerReader(MAX_BYTES)
    answers = [reader.feed(piece) for piece in pieces]
    return answers, reader


@pytest.mark.parametrize("wire", ANSWERS.values(), ids=ANSWERS)
@given(cuts=st.lists(st.integers(1, 1500), max_size=20))
def test_the_pieces_make_no_difference(wire, cuts):
    places = sorted({cut for cut in cuts if cut < len(wire)})
    pieces = [
        wire[begin:end]
        for begin, end in zip([0, *places], [*places, len(wire)], strict=True)
    ]

    answers, reader = read(pieces)

    assert answers[:-1] == [None] * (len(pieces) - 1)
    assert answers[-1].body == BODY
    assert answers[-1].status == 200
    assert not {"x", "t"} & set(answers[-1].headers)
    assert reader.keeps_alive


@given(
    wire=st.sampled_from(sorted(ANSWERS.values())),
    place=st.integers(0, 900),
    noise=st.binary(min_size=1, max_size=8),
)
@example(wire=ANSWERS["length"], place=900, noise=b"\n")
def test_bytes_changed_on_the_way_make_an_answer_within_limits_or_none(
    wire, place, noise
):
    changed = wire[:place] + noise + wire[place + len(noise) :]
    with contextlib.suppress(BrokenAnswerError):
        answers, reader = read([changed[:400], changed[400:]])
        answer = answers[-1] or reader.end()
        assert answer is None or len(answer.body) <= MAX_BYTES


@given(wire=st.binary(max_size=300))
def test_what_follows_an_answer_is_never_part_of_it_or_of_the_next(wire):
    reader = AnswerReader(MAX_BYTES)

    answer = reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + wire)

    assert answer is not None
    assert answer.body == b"ok"
    # An empty line before an answer says nothing. Source: RFC 9112, 2.2
    assert reader.keeps_alive == (not wire.strip(b"\r\n"))


def test_one_reader_reads_one_answer_after_the_other():
    reader = AnswerReader(MAX_BYTES)
    for wire in [*ANSWERS.values(), *ANSWERS.values()]:
        for cut in (0, 60, 500):
            reader.begin()
            first, second = reader.feed(wire[:cut]), reader.feed(wire[cut:])
            assert first is None
            assert second is not None
            assert second.body == BODY
            assert reader.keeps_alive


@pytest.mark.parametrize("stray", [b"", b"\r", b"\n", b"\r\n", b"\r\n\r"])
def test_a_stray_line_end_says_nothing(stray):
    reader = AnswerReader(MAX_BYTES)
    assert reader.feed(ANSWERS["length"] + stray) is not None
    reader.begin()
    assert reader.feed(ANSWERS["length"]) is not None
