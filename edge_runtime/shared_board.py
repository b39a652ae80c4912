"""Memory in which processes that forked from one another leave each other a note.

Each process has a place that it alone writes; every other may read it at any
time, without a lock. A place holds a sequence number, odd while its owner writes,
and a checksum, since not every processor shows others its writes in their order.
A note that cannot be read whole just now is the one before.

Source: "seqlock", Linux, Documentation/locking/seqlock.rst
"""

import mmap
import struct
import zlib

import orjson

PLACE_BYTES = 4 * 1024**2
"""Room for the measures of some hundred models; memory is taken as it is used."""

_READS_MAX = 3
_HEAD = struct.Struct("<QII")
"""Sequence number, length, CRC-32."""


class SharedBoard:
    """A note of each of several processes; made before they fork.

    Attributes:
        memory: What the processes share, one place after the other.
    """

    def __init__(self, places: int, *, place_bytes: int = PLACE_BYTES) -> None:
        """Begin with empty places."""
        self._place_bytes = place_bytes
        self.memory = mmap.mmap(-1, places * place_bytes)
        self._sequences = [0] * places
        self._seen: list[object] = [None] * places

    def write(self, place: int, note: object) -> bool:
        """Leave a note that JSON can hold; False where it is too long for a place."""
        body = orjson.dumps(note, option=orjson.OPT_NON_STR_KEYS)
        if len(body) > self._place_bytes - _HEAD.size:
            return False
        begin = place * self._place_bytes
        sequence = self._sequences[place]
        _HEAD.pack_into(self.memory, begin, sequence + 1, 0, 0)
        first = begin + _HEAD.size
        self.memory[first : first + len(body)] = body
        _HEAD.pack_into(self.memory, begin, sequence + 2, len(body), zlib.crc32(body))
        self._sequences[place] = sequence + 2
        return True

    def read(self, place: int) -> object:
        """Return the last note that could be read whole; None before the first."""
        for _ in range(_READS_MAX):
            body = self._copy(place)
            if body is not None:
                self._seen[place] = orjson.loads(body)
                break
        return self._seen[place]

    def others(self, place: int) -> list[object]:
        """Return the notes of all who have left one, but for `place`."""
        places = range(len(self._sequences))
        notes = [self.read(other) for other in places if other != place]
        return [note for note in notes if note is not None]

    def _copy(self, place: int) -> bytes | None:
        """Return a note's bytes; None where it is being written, or none is there."""
        begin = place * self._place_bytes
        head = _HEAD.unpack_from(self.memory, begin)
        sequence, length, checksum = head
        if sequence % 2 or not length or length > self._place_bytes - _HEAD.size:
            return None
        first = begin + _HEAD.size
        body = self.memory[first : first + length]
        is_whole = _HEAD.unpack_from(self.memory, begin) == head
        return body if is_whole and zlib.crc32(body) == checksum else None
