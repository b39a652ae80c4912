"""The metadata and key files of a ceremony: read with a cap, written whole.

A folder holds TUF metadata under its own names, `3.root.json`, signed or still
waiting for signatures; it is what travels from keyholder to keyholder.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tuf.api.metadata import TOP_LEVEL_ROLE_NAMES, Metadata, Signed, Targets
from tuf.api.serialization import DeserializationError

from packhorse.ceremony import AnyMetadata
from packhorse.cli.failure import CommandError
from packhorse.trust_root import METADATA_MAX_BYTES, TIMESTAMP, metadata_file

_ONLY_OWNER = 0o600
_EVERYBODY = 0o644
_NAME = re.compile(r"(?:([1-9][0-9]{0,8})\.)?([a-z][a-z0-9-]{0,80})\.json")


@dataclass(frozen=True, slots=True)
class Found:
    """One metadata file."""

    path: Path
    role: str
    metadata: AnyMetadata

    @property
    def signed(self) -> Signed:
        """What is signed, or to be."""
        return self.metadata.signed

    @property
    def title(self) -> str:
        """The role and the version, as people say them."""
        return f"{self.role} {self.signed.version}"


def read_metadata(path: Path) -> Found:
    """Read one file, and see that it holds what its name says.

    Raises:
        CommandError: It does not, or is no TUF metadata.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CommandError(
            f"{path.name} must be called as metadata is, for example 2.root.json"
        )
    with path.open("rb") as file:
        body = file.read(METADATA_MAX_BYTES + 1)
    try:
        found = Found(path, match[2], Metadata.from_bytes(body))
    except DeserializationError as error:
        raise CommandError(
            f"{path} is no TUF metadata: it was cut short or changed on its way; copy "
            "it again from where it comes"
        ) from error
    role, signed = found.role, found.signed
    kind = role if role in TOP_LEVEL_ROLE_NAMES else Targets.type
    if signed.type != kind or metadata_file(role, signed.version) != path.name:
        raise CommandError(
            f"{path} holds other metadata than it says: {signed.type} {signed.version}"
        )
    return found


def versions(folder: Path, role: str) -> Sequence[Path]:
    """Return the files of a role, the newest first."""
    matches = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    found = [path for path, match in matches if match and match[2] == role]
    return sorted(found, key=version_of, reverse=True)


def version_of(path: Path) -> int:
    """Return the number in a file's name; 0 where it has none."""
    match = _NAME.fullmatch(path.name)
    return int(match[1] or 0) if match else 0


def read_latest(folder: Path, role: str, *, below: int | None = None) -> Found:
    """Read the newest metadata of a role, or the newest before a version.

    Raises:
        CommandError: There is none.
    """
    for path in versions(folder, role):
        if below is None or version_of(path) < below:
            return read_metadata(path)
    before = "" if below is None else f" before version {below}"
    raise CommandError(f"{folder} holds no metadata of {role}{before}")


@contextmanager
def all_or_nothing(*folders: Path) -> Iterator[None]:
    """Fill empty folders; where that fails, leave them empty, to try again.

    Raises:
        CommandError: Something is in one: keys and metadata are never overwritten.
    """
    for folder in folders:
        _make_empty(folder)
    try:
        yield
    except BaseException:
        for folder in folders:
            for path in folder.iterdir():
                path.unlink()
        raise


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise CommandError(
            f"{folder} must be empty: keys and metadata are never overwritten"
        )


def write_new(path: Path, body: bytes, *, is_secret: bool = False) -> None:
    """Write a file that must not be there, onto the disk.

    Raises:
        CommandError: It is there.
        OSError: It could not be written, and is not there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    mode = _ONLY_OWNER if is_secret else _EVERYBODY
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError as error:
        raise CommandError(_taken(path)) from error
    with _removed_on_failure(path), os.fdopen(descriptor, "wb") as file:
        file.write(body)
        _flush(file)


def replace(path: Path, body: bytes) -> None:
    """Put new content in the place of a file's old one, at once."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with _removed_on_failure(Path(name)):
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            _flush(file)
        Path(name).chmod(_EVERYBODY)
        Path(name).replace(path)


def check_is_free(path: Path) -> None:
    """Refuse the name of a file that is there.

    Raises:
        CommandError: It is.
    """
    if os.path.lexists(path):
        raise CommandError(_taken(path))


def copy_beside(paths: Sequence[Path], folder: Path) -> None:
    """Copy what a prepared file is judged by into its folder, unless it is there.

    Raises:
        CommandError: Something else is there under its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        body, there = path.read_bytes(), folder / path.name
        if not there.exists():
            write_new(there, body)
        elif there.read_bytes() != body:
            raise CommandError(
                f"{there} differs from {path}: have it prepared in an empty folder"
            )


def write_prepared(folder: Path, role: str, metadata: AnyMetadata) -> Path:
    """Write the next version of a role, which nobody has signed yet."""
    if role == TIMESTAMP:
        raise CommandError("the functions sign the timestamp; it is not prepared")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / metadata_file(role, metadata.signed.version)
    write_new(path, metadata.to_bytes())
    return path


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Leave no half of a file."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _taken(path: Path) -> str:
    return f"{path} is there already, and is never overwritten; give another name"


def _flush(file: BinaryIO) -> None:
    """Get onto the disk what was written: a stick is pulled out soon."""
    file.flush()
    os.fsync(file.fileno())
