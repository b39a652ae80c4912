"""Live requests with their answers, as the worker hands them to a candidate's try.

They are somebody's data. A file of them lies in the state directory for a moment
only: its owner alone can read it, it is never flushed to the disk, and who opens
it removes its name at once. So these files go past `durable.py`: nothing in them
is worth anything after a crash.

    file      head · payload · head · payload …
    head      when it was noted (8 bytes, microseconds of the machine's own clock),
              length of the payload (8)
    payload   as a record of the prediction log keeps its tensors

Source: docs/protocol.md, 11.1
"""

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from edge_runtime.prediction_log.payload import (
    Data,
    Document,
    decode_payload,
    decode_tensor,
    encode_payload,
    keep_tensors,
    length_of,
)
from packhorse.errors import PackhorseError
from packhorse.inference.signature import Arrays

FILE_MAX_BYTES = 256 * 1024**2
"""More than any ring holds; the child that reads it has a memory limit besides."""

_HEAD = struct.Struct("<QQ")
_SIDES = ("inputs", "outputs")
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """One request that the active release has answered."""

    inputs: Arrays
    outputs: Arrays


@dataclass(frozen=True, slots=True)
class Frame:
    """One request as bytes.

    Attributes:
        noted_us: When it was noted; the newest one's is the cursor.
        parts: The payload, in pieces.
    """

    noted_us: int
    parts: tuple[Data, ...]

    @property
    def length_bytes(self) -> int:
        """How long it is in a file."""
        return _HEAD.size + length_of(self.parts)

    def pieces(self) -> Iterator[Data]:
        """Yield what stands in a file."""
        yield _HEAD.pack(self.noted_us, length_of(self.parts))
        yield from self.parts


def encode_request(noted_us: int, inputs: Arrays, outputs: Arrays) -> Frame | None:
    """Write a request as bytes; None where a tensor has no datatype of ours."""
    document: Document = {}
    data: list[Data] = []
    try:
        for side, arrays in zip(_SIDES, (inputs, outputs), strict=True):
            document[side] = keep_tensors(arrays, data)
    except (KeyError, UnicodeEncodeError):
        return None
    payload = encode_payload(document, data)
    return Frame(noted_us, payload) if payload else None


def write_frames(path: Path, frames: Iterable[Frame]) -> None:
    """Write a file that only its owner can read, and that no crash shall keep."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, _MODE), "wb") as file:
            for frame in frames:
                file.writelines(frame.pieces())
    except BaseException:
        remove(path)
        raise


def take_frames(path: Path) -> list[Frame]:
    """Return what a file holds, and remove it; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return list(_frames(file.read(FILE_MAX_BYTES)))
    except OSError:
        return []
    finally:
        remove(path)


def read_requests(file: BinaryIO) -> list[LiveRequest]:
    """Read live requests, the oldest first; without those that cannot be read.

    Our own worker wrote them, so what is wrong with them is not the candidate's
    fault and must not refuse it.
    """
    requests = map(_decode, _frames(file.read(FILE_MAX_BYTES)))
    return [request for request in requests if request is not None]


def remove(path: Path) -> None:
    """Remove a file of live requests, if it is there."""
    with contextlib.suppress(OSError):
        path.unlink()


def _frames(body: bytes) -> Iterator[Frame]:
    at = 0
    while at + _HEAD.size <= len(body):
        noted_us, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        if length > len(body) - at:
            return  # cut short
        yield Frame(noted_us, (body[at : at + length],))
        at += length


def _decode(frame: Frame) -> LiveRequest | None:
    payload = decode_payload(b"".join(frame.parts))
    if payload is None:
        return None
    document, data = payload
    sides: list[dict[str, np.ndarray]] = []
    try:
        for side in _SIDES:
            arrays, data = _arrays(cast("list[Document]", document[side]), data)
            sides.append(arrays)
    except (KeyError, TypeError, ValueError, PackhorseError):
        return None
    return LiveRequest(*sides)


def _arrays(
    tensors: Sequence[Document], data: memoryview
) -> tuple[dict[str, np.ndarray], memoryview]:
    """Return the tensors of one side, and the bytes behind them."""
    arrays = {}
    for tensor in tensors:
        length = cast("int", tensor["data_bytes"])
        arrays[str(tensor["name"])] = decode_tensor(tensor, data[:length])
        data = data[length:]
    return arrays, data
