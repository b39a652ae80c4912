"""Whole records are found, whatever a crash left of the others."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.prediction_log.frames import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    encode_frame,
    new_header,
    read_frames,
    read_header,
)

HEADER = new_header(1024 * 1024)
PAYLOADS = [b"first", b"", b"x" * 50, b"last"]


def frame(mark, payload):
    """Frame a payload that comes in two parts, as one with tensors does."""
    return b"".join(encode_frame(mark, (payload[:3], memoryview(payload)[3:])))


def segment(*payloads, header=HEADER):
    return header.encode() + b"".join(frame(header.mark, p) for p in payloads)


def payloads_of(body):
    file = io.BytesIO(body)
    header = read_header(file)
    return [frame.payload for frame in read_frames(file, header)] if header else []


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_what_was_written_is_read(payloads):
    assert payloads_of(segment(*payloads)) == payloads


def test_a_cut_at_any_byte_takes_the_records_behind_it_and_no_other():
    body = segment(*PAYLOADS)
    ends = [HEADER_BYTES]
    for payload in PAYLOADS:
        ends.append(ends[-1] + FRAME_HEAD_BYTES + len(payload))
    for length in range(len(body) + 1):
        whole = sum(end <= length for end in ends[1:])
        assert payloads_of(body[:length]) == PAYLOADS[:whole]


def test_a_flipped_bit_takes_its_own_record_and_no_other():
    body = segment(*PAYLOADS)
    for place in range(HEADER_BYTES, len(body)):
        broken = bytearray(body)
        broken[place] ^= 1
        found = payloads_of(bytes(broken))
        assert len(found) == len(PAYLOADS) - 1
        assert found == [p for p in PAYLOADS if p in found]


@pytest.mark.parametrize("filling", [b"\0", b"\xff"], ids=["zeros", "ones"])
def test_a_hole_that_a_power_cut_left_hides_nothing_behind_it(filling):
    body = segment(b"before") + filling * 4096 + frame(HEADER.mark, b"after")
    assert payloads_of(body) == [b"before", b"after"]


def test_what_follows_a_torn_record_is_found():
    torn = frame(HEADER.mark, b"y" * 100)[:60]
    body = segment(b"one") + torn + frame(HEADER.mark, b"two")
    assert payloads_of(body) == [b"one", b"two"]


def test_a_record_inside_a_client_s_tensor_is_none():
    """Whoever knows the format, but not this segment's mark, forges nothing."""
    forged = frame(new_header(1).mark, b"forged")
    torn = frame(HEADER.mark, b"z" * 20 + forged + b"z" * 20)[:-1]
    assert payloads_of(segment(b"one") + torn) == [b"one"]


def test_a_length_beyond_the_segment_is_never_read():
    head = struct.pack("<8sII", HEADER.mark, 2**32 - 1, 0)
    assert payloads_of(HEADER.encode() + head + bytes(100)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEADER.encode()[:-1],
        b"\x89OTHER\0" + bytes(17),
        b"\x89PHPLOG\2" + bytes(16),
        new_header(2**40).encode(),
    ],
    ids=["empty", "torn", "another file", "a later format", "too long"],
)
def test_what_is_no_header_is_none(body):
    assert read_header(io.BytesIO(body)) is None
