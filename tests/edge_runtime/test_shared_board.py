"""Notes that processes leave one another are read whole, or not at all."""

import os
import signal
import struct
import time

from edge_runtime.shared_board import SharedBoard

PLACE_BYTES = 64 * 1024


def test_a_note_is_read_by_the_others():
    board = SharedBoard(3, place_bytes=PLACE_BYTES)
    assert board.others(0) == []
    assert board.write(1, {"count": 1})
    assert board.write(2, {"count": 2})
    assert board.others(0) == [{"count": 1}, {"count": 2}]
    assert board.others(1) == [{"count": 2}]


def test_a_later_note_takes_the_place_of_the_one_before():
    board = SharedBoard(1, place_bytes=PLACE_BYTES)
    board.write(0, ["a" * 1000])
    board.write(0, ["b"])
    assert board.read(0) == ["b"]


def test_a_note_that_is_too_long_is_not_left_and_the_one_before_stays():
    board = SharedBoard(2, place_bytes=PLACE_BYTES)
    board.write(0, "short")
    assert not board.write(0, "a" * PLACE_BYTES)
    assert board.read(0) == "short"
    assert board.read(1) is None


def test_what_is_being_written_or_was_torn_is_read_as_it_was_before():
    board = SharedBoard(1, place_bytes=PLACE_BYTES)
    board.write(0, "whole")
    assert board.read(0) == "whole"
    board.memory[16:17] = b"?"
    assert board.read(0) == "whole"
    board.memory[:8] = struct.pack("<Q", 5)
    assert board.read(0) == "whole"


SEEN_MIN = 10
"""Notes that a reader must have seen: the machine may be busy meanwhile."""


def test_a_reader_never_sees_half_of_what_another_process_writes():
    board = SharedBoard(1, place_bytes=PLACE_BYTES)
    until_s = time.monotonic() + 30.0
    writer = os.fork()
    if not writer:
        number = 0
        while time.monotonic() < until_s:
            number += 1
            board.write(0, [number] * (number % 3000 + 1))
        os._exit(0)
    seen = set()
    enough_s = time.monotonic() + 0.3
    while time.monotonic() < enough_s or len(seen) <= SEEN_MIN:
        assert time.monotonic() < until_s
        note = board.read(0)
        if note is not None:
            assert note == [note[0]] * (note[0] % 3000 + 1)
            seen.add(note[0])
    os.kill(writer, signal.SIGKILL)
    assert os.waitpid(writer, 0)[1] == signal.SIGKILL
