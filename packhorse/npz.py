"""Arrays in an npz archive from strangers, and archives of ours, always the same.

Nothing in an archive is believed before it is checked: no pickles, and a cap on
what every member says that it holds and on what it really holds.

Source: numpy, "numpy.lib.format"; PKWARE APPNOTE 6.3, for the archive
"""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from packhorse.errors import LimitExceededError, MalformedError

ARRAYS_MAX = 64
_HEADER_MAX_BYTES = 10_000
_STORED_AT = (1980, 1, 1, 0, 0, 0)

# What zipfile raises for an archive, a method, a password or a member that is broken.
_NO_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
)


def read_arrays(stream: BinaryIO, *, limit_bytes: int) -> dict[str, np.ndarray]:
    """Read every array of an npz archive.

    Args:
        stream: Read to its end, at most `limit_bytes` of it.
        limit_bytes: Cap on the archive and on what it unpacks to, in bytes.

    Raises:
        LimitExceededError: It holds, or says that it holds, more.
        MalformedError: It is no such archive, or holds pickled objects.
    """
    body = stream.read(limit_bytes + 1)
    if len(body) > limit_bytes:
        raise LimitExceededError(f"golden samples may be {limit_bytes} bytes long")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return _read_arrays(archive, limit_bytes)
    except _NO_ARCHIVE as error:
        raise MalformedError("golden samples must be an npz archive") from error


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write arrays as npz: stored, sorted, undated, so always the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            array = np.ascontiguousarray(arrays[name])
            npy.write_array(member, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _STORED_AT)
            entry.create_system = 3
            archive.writestr(entry, member.getvalue())
    return out.getvalue()


def _read_arrays(archive: zipfile.ZipFile, limit_bytes: int) -> dict[str, np.ndarray]:
    entries = archive.infolist()
    if len(entries) > ARRAYS_MAX:
        raise LimitExceededError(f"golden samples may hold {ARRAYS_MAX} arrays")
    if sum(entry.file_size for entry in entries) > limit_bytes:
        raise LimitExceededError(f"golden samples may unpack to {limit_bytes} bytes")
    return {_array_name(entry): _read_array(archive, entry) for entry in entries}


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Read one array, never more of it than its entry declares."""
    with archive.open(entry) as member:
        body = member.read(entry.file_size + 1)
    if len(body) != entry.file_size:
        raise MalformedError(f"golden array {entry.filename[:80]!r} has a false length")
    stream = io.BytesIO(body)
    try:
        _check_header(stream, len(body))
        stream.seek(0)
        return npy.read_array(
            stream, allow_pickle=False, max_header_size=_HEADER_MAX_BYTES
        )
    except (ValueError, TypeError, SyntaxError, OverflowError) as error:
        raise MalformedError(
            f"golden array {entry.filename[:80]!r} must be a plain npy array without "
            "Python objects (text has dtype=str), as long as it says"
        ) from error


def _check_header(stream: BinaryIO, length_bytes: int) -> None:
    """Refuse objects, and a shape that asks for other than what is there."""
    version = npy.read_magic(stream)
    if version == (1, 0):
        header = npy.read_array_header_1_0(stream, max_header_size=_HEADER_MAX_BYTES)
    else:
        header = npy.read_array_header_2_0(stream, max_header_size=_HEADER_MAX_BYTES)
    shape, _, dtype = header
    declared = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or declared != length_bytes - stream.tell():
        raise ValueError(declared)


def _array_name(entry: zipfile.ZipInfo) -> str:
    name = entry.filename.removesuffix(".npy")
    if name == entry.filename:
        raise MalformedError(
            "golden arrays are named input.<name> and output.<name>, "
            f"not {entry.filename[:80]!r}"
        )
    return name
