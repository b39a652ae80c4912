"""Read the prediction log while others write it: in order, and from where one was.

A cursor says how far each segment was read, so that a shipper that keeps it sees
every record once and in the order of its instant, as nearly as several processes
that write at once allow.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from edge_runtime.errors import SettingsError
from edge_runtime.prediction_log.folder import segment_paths
from edge_runtime.prediction_log.frames import HEADER_BYTES, read_frames, read_header
from edge_runtime.prediction_log.payload import Document, decode_payload

CURSOR_MAX_BYTES = 1024 * 1024
"""A place for each of some ten thousand segments; there are about forty."""

_PLACES = "segments"
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log.

    Attributes:
        number: Of its segment.
        offset: Where it begins there; both together are its id for good.
        end: Where the next one begins.
        document: docs/protocol.md, 12.2.
        data: The bytes of tensors that are kept in full.
    """

    number: int
    offset: int
    end: int
    document: Document
    data: memoryview

    @property
    def id(self) -> str:
        """Return what names this record among all of this gateway."""
        return f"{self.number}-{self.offset}"

    @property
    def at(self) -> str:
        """Return its instant, ISO 8601 in UTC; such texts sort by time."""
        return str(self.document.get("at", ""))

    @property
    def is_prediction(self) -> bool:
        """Say whether it is one, and no note of those that are missing."""
        return self.document.get("kind") == "prediction"

    def tensors(self, key: str) -> list[Document]:
        """Return what is said of its `inputs` or `outputs`."""
        tensors = self.document.get(key)
        return tensors if isinstance(tensors, list) else []


@dataclass(slots=True)
class Cursor:
    """How far each segment was read, in bytes, by its number."""

    places: dict[int, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Write it as JSON."""
        places = {str(number): place for number, place in sorted(self.places.items())}
        return orjson.dumps({_PLACES: places})


def decode_cursor(body: bytes) -> Cursor:
    """Read what `Cursor.encode` wrote.

    Raises:
        SettingsError: It is no cursor.
    """
    try:
        places = orjson.loads(body)[_PLACES].items()
        return Cursor({int(number): int(place) for number, place in places})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"expected the cursor that `edge-runtime log` wrote, came {body[:80]!r}"
        ) from error


class LogReader:
    """Reads on each time from where it was."""

    def __init__(self, directory: Path, cursor: Cursor | None = None) -> None:
        """Begin at `cursor`; without one at the oldest record."""
        self._directory = directory
        self.cursor = cursor or Cursor()
        self._seen: dict[int, tuple[int, int]] = {}

    def read(self, *, since_s: float = 0.0) -> Iterator[Record]:
        """Yield what has come since, and move the cursor past each.

        Args:
            since_s: Segments that nobody has written to since then are passed over.
        """
        paths = segment_paths(self._directory)
        numbers = {number for number, _ in paths}
        for number in self.cursor.places.keys() - numbers:
            del self.cursor.places[number]
        fresh = [(n, path) for n, path in paths if self._has_changed(n, path, since_s)]
        sources = [self._read_fresh(number, path) for number, path in fresh]
        for record in heapq.merge(*sources, key=lambda record: record.at):
            self.cursor.places[record.number] = record.end
            yield record

    def _has_changed(self, number: int, path: Path, since_s: float) -> bool:
        """Say whether a segment may hold what was not read yet."""
        state = _state(path)
        if state is None or state == self._seen.get(number):
            return False
        size_bytes, written_ns = state
        is_longer = size_bytes > self.cursor.places.get(number, 0)
        return is_longer and written_ns >= since_s * _NS

    def _read_fresh(self, number: int, path: Path) -> Iterator[Record]:
        """Yield what a segment holds past the cursor; note when it was all."""
        state = _state(path)
        place = self.cursor.places.get(number, HEADER_BYTES)
        yield from read_segment(number, path, place)
        if state:
            self._seen[number] = state


def read_segment(
    number: int, path: Path, place: int = HEADER_BYTES
) -> Iterator[Record]:
    """Yield the records of one segment from `place` on; none where it is gone."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        header = read_header(file)
        if header is None:
            return
        for frame in read_frames(file, header, place):
            if found := decode_payload(frame.payload):
                yield Record(number, frame.offset, frame.end, *found)


def last_predictions(
    directory: Path, count: int, *, keep: Callable[[Record], bool] | None = None
) -> list[Record]:
    """Return the newest predictions, the newest first.

    Segments are read from the one that was written last on, and no more of them
    than are needed: the status page shows a few.

    Args:
        directory: The folder of segments; it may be missing.
        count: How many at most, one or more.
        keep: Says which count; all, without it.
    """
    newest: list[Record] = []
    for number, path in _by_last_write(directory):
        if len(newest) == count and _written_at(path) < newest[-1].at:
            break
        found = deque(_predictions(number, path, keep), maxlen=count)
        newest = sorted([*newest, *found], key=lambda record: record.at, reverse=True)
        del newest[count:]
    return newest


def _predictions(
    number: int, path: Path, keep: Callable[[Record], bool] | None
) -> Iterator[Record]:
    for record in read_segment(number, path):
        if record.is_prediction and (keep is None or keep(record)):
            yield record


def _by_last_write(directory: Path) -> list[tuple[int, Path]]:
    found = []
    for number, path in segment_paths(directory):
        if state := _state(path):
            found.append((state[1], number, path))
    return [(number, path) for _, number, path in sorted(found, reverse=True)]


def _written_at(path: Path) -> str:
    """Return when a segment was last written, as records say their instants."""
    state = _state(path)
    at = datetime.fromtimestamp(state[1] / _NS if state else 0.0, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _state(path: Path) -> tuple[int, int] | None:
    """Return a segment's length and when it was last written; None if it is gone."""
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return None
