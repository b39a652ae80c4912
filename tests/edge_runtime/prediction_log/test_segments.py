"""The folder: who writes which segment, and which ones have to go."""

import errno
import os
import stat

import pytest

from edge_runtime.prediction_log.folder import segment_path, segment_paths
from edge_runtime.prediction_log.frames import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    new_header,
)
from edge_runtime.prediction_log.segments import SEGMENTS_MIN, Segments
from tests.edge_runtime.prediction_log.entries import size_bytes

MAX_BYTES = 160_000
SEGMENT_BYTES = MAX_BYTES // SEGMENTS_MIN


@pytest.fixture
def segments(directory):
    return Segments(directory, MAX_BYTES, free_min_bytes=0)


def fill(segments, *, share=1.0):
    """Write a segment until it is full to a share, and leave it."""
    segment = segments.open(100)
    while segment.place[1] < share * SEGMENT_BYTES and segment.has_room((bytes(100),)):
        segment.append((bytes(100),))
    segments.leave(segment)
    return segment.place[0]


def paths(directory):
    return [path for _, path in segment_paths(directory)]


def test_the_oldest_go_when_the_cap_is_reached(segments, directory):
    written = [fill(segments) for _ in range(40)]
    kept = paths(directory)
    assert kept == written[-len(kept) :]
    assert len(kept) >= SEGMENTS_MIN - 1
    assert size_bytes(directory) <= MAX_BYTES


def test_a_segment_that_is_written_counts_with_what_it_may_reach(segments, directory):
    for _ in range(SEGMENTS_MIN):
        fill(segments)
    held = [segments.open(100) for _ in range(5)]
    assert len(paths(directory)) <= SEGMENTS_MIN
    for segment in held:
        segment.close()


def test_when_others_hold_all_room_nothing_is_taken_from_them(segments, directory):
    held = [segments.open(100) for _ in range(SEGMENTS_MIN)]
    with pytest.raises(OSError, match="too few") as raised:
        segments.open(100)
    assert raised.value.errno == errno.EDQUOT
    assert len(paths(directory)) == SEGMENTS_MIN
    held.pop().close()
    segments.open(100).close()
    for segment in held:
        segment.close()


def test_no_two_write_the_same_segment(segments, directory):
    one, other = segments.open(100), segments.open(100)
    assert one.place[0] != other.place[0]
    one.close()
    other.close()


def test_a_segment_that_is_half_empty_is_gone_on_with(segments, directory):
    first = fill(segments, share=0.3)
    assert fill(Segments(directory, MAX_BYTES, free_min_bytes=0)) == first
    assert fill(segments) != first


def test_a_record_that_does_not_fit_the_rest_gets_a_new_segment(segments, directory):
    first = fill(segments, share=0.4)
    segment = segments.open(segments.payload_max_bytes)
    segment.append((bytes(segments.payload_max_bytes),))
    assert segment.place == (paths(directory)[-1], SEGMENT_BYTES)
    assert segment.place[0] != first
    segment.close()


def test_a_torn_end_is_cut_before_anything_is_added(segments, directory):
    path = fill(segments, share=0.3)
    whole_bytes = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"torn")
    segment = Segments(directory, MAX_BYTES, free_min_bytes=0).open(100)
    assert segment.place == (path, whole_bytes)
    segment.close()


def test_later_segments_have_greater_numbers_though_the_clock_goes_back(
    segments, directory
):
    first = fill(segments)
    late = segment_path(directory, 9_000_000_000_000_000)
    first.rename(late)
    fill(segments)
    assert paths(directory)[0] == late
    assert paths(directory)[1] == segment_path(directory, 9_000_000_000_000_001)


def test_segments_of_a_later_version_are_left_alone_until_room_is_needed(
    segments, directory
):
    directory.mkdir()
    strange = segment_path(directory, 1)
    strange.write_bytes(b"\x89PHPLOG\2" + bytes(9000))
    assert fill(segments, share=0.1) != strange
    assert strange.exists()
    for _ in range(SEGMENTS_MIN + 1):
        fill(segments)
    assert not strange.exists()


def test_only_the_owner_can_read(segments, directory):
    old = os.umask(0)
    try:
        path = fill(segments)
    finally:
        os.umask(old)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for each in (path, directory / "lock"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_link_in_place_of_a_segment_is_not_followed(segments, directory, tmp_path):
    directory.mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(new_header(SEGMENT_BYTES).encode())
    segment_path(directory, 1).symlink_to(outside)
    with pytest.raises(OSError, match="symbolic"):
        segments.open(100)
    assert outside.stat().st_size == HEADER_BYTES


def test_some_of_the_disk_is_left_to_others(directory):
    greedy = Segments(directory, MAX_BYTES, free_min_bytes=2**60)
    with pytest.raises(OSError, match="are free") as raised:
        greedy.open(100)
    assert raised.value.errno == errno.ENOSPC
    assert paths(directory) == []


def test_a_cap_too_small_for_any_segment_keeps_nothing(directory):
    tiny = Segments(directory, SEGMENTS_MIN * (HEADER_BYTES + FRAME_HEAD_BYTES))
    assert tiny.payload_max_bytes == 0
    with pytest.raises(OSError, match="too few"):
        tiny.open(0)
