"""Two places on disk for an installed release, and which of them is active.

    <state>/slots/a/        manifest.json, the bundle's members, installed.json
    <state>/slots/b/        likewise
    <state>/active          a symbolic link: slots/a or slots/b

A slot counts as installed only through its marker, `installed.json`, which is
written last. Without a readable marker that agrees with the manifest and with
the members' lengths, the slot is empty, whatever else lies in it. `activate` is
one rename; a power cut before, within or after any step here leaves `active`
pointing at what it pointed at, or at the new slot, whole.

`Slot.verify` reads every byte; it is called before a model is loaded, so a disk
that changed its mind is found out there and not by a wrong answer.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import durable
from edge_runtime.errors import SlotError
from packhorse.errors import PackhorseError
from packhorse.manifest import (
    MANIFEST_FILE,
    MANIFEST_MAX_BYTES,
    Manifest,
    Member,
    decode_manifest,
    encode_manifest,
)
from packhorse.names import SHA256, Release
from packhorse.strict_json import Fields, decode_json, encode_json

NAMES = ("a", "b")
MARKER_NAME = "installed.json"
MARKER_MAX_BYTES = 4096
"""A marker holds one format number and one hash; more is not a marker."""

_FORMAT = 1
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the two places, installed or empty."""

    name: str
    path: Path

    @property
    def is_sealed(self) -> bool:
        """Whether a whole release is installed here."""
        return self._read() is not None

    @property
    def release(self) -> Release | None:
        """The release installed here, or None when the slot is empty."""
        manifest = self._read()
        return manifest.release if manifest else None

    def manifest(self) -> Manifest:
        """Return the manifest of the release installed here.

        Raises:
            SlotError: The slot is empty.
        """
        manifest = self._read()
        if manifest is None:
            raise SlotError(f"slot {self.name} holds no installed release")
        return manifest

    def member_path(self, name: str) -> Path:
        """Return where the member `name` of the bundle lies, or will lie."""
        if name in {"", ".", "..", MANIFEST_FILE, MARKER_NAME} or "/" in name:
            raise SlotError(f"expected a plain member name, got {name!r}")
        return self.path / name

    def clear(self) -> None:
        """Empty the slot. The marker goes first, so it counts as empty at once."""
        durable.unlink(self.path / MARKER_NAME)
        durable.remove_tree(self.path)
        durable.make_dir(self.path)

    def seal(self, manifest: Manifest) -> None:
        """Declare that every member of `manifest` lies here, flushed.

        Reads the members again and compares them with the manifest before the
        marker is written.

        Raises:
            SlotError: A member is missing, or is not what the manifest says.
        """
        body = encode_manifest(manifest)
        durable.write_file(self.path / MANIFEST_FILE, body)
        check_members(self, manifest)
        marker = {"format": _FORMAT, "manifest_sha256": _sha256(body)}
        durable.write_file(self.path / MARKER_NAME, encode_json(marker))

    def verify(self) -> Manifest:
        """Read every member and compare it with the manifest.

        Raises:
            SlotError: The slot is empty, or a member changed since it was sealed.
        """
        manifest = self.manifest()
        check_members(self, manifest)
        return manifest

    def _read(self) -> Manifest | None:
        """Return the manifest if marker, manifest and lengths agree, else None."""
        try:
            body = _read_capped(self.path / MANIFEST_FILE, MANIFEST_MAX_BYTES)
            if _read_marker(self.path / MARKER_NAME) != _sha256(body):
                return None
            manifest = decode_manifest(body)
            lengths = [
                (self.path / member.name).stat(follow_symlinks=False).st_size
                for member in manifest.members
            ]
        except (OSError, PackhorseError):
            return None
        expected = [member.length_bytes for member in manifest.members]
        return manifest if lengths == expected else None


@dataclass(frozen=True, slots=True)
class Slots:
    """Both slots of one state directory, and the link that names the active one."""

    state_dir: Path

    @property
    def link(self) -> Path:
        """The symbolic link that names the active slot."""
        return self.state_dir / "active"

    def slot(self, name: str) -> Slot:
        """Return the slot called `name`.

        Raises:
            SlotError: There is no slot of that name.
        """
        if name not in NAMES:
            raise SlotError(f"expected a slot named a or b, got {name!r}")
        return Slot(name=name, path=self.state_dir / "slots" / name)

    def named(self) -> Slot | None:
        """Return the slot that the link names, installed or not."""
        try:
            points_to = os.readlink(self.link)  # noqa: PTH115 - the text itself
        except OSError:
            return None
        for name in NAMES:
            if points_to == f"slots/{name}":
                return self.slot(name)
        return None

    def active(self) -> Slot | None:
        """Return the slot that serves, or None when no whole release does."""
        slot = self.named()
        return slot if slot is not None and slot.is_sealed else None

    def inactive(self) -> Slot:
        """Return the slot that the next release goes into.

        It is never the only whole one: where the link names a slot that is
        broken, that slot is the one to install into.
        """
        slot = self.named()
        if slot is None or not slot.is_sealed:
            return slot or self.slot(NAMES[0])
        return self.other(slot)

    def other(self, slot: Slot) -> Slot:
        """Return the slot beside `slot`."""
        return self.slot(NAMES[1] if slot.name == NAMES[0] else NAMES[0])

    def activate(self, slot: Slot) -> None:
        """Make `slot` the active one, in one rename. Twice is as good as once.

        Raises:
            SlotError: The slot is empty.
        """
        slot.manifest()
        if self.named() == slot:
            # Renamed already; whoever did may not have lived to flush it.
            durable.fsync_dir(self.state_dir)
            return
        durable.symlink_swap(self.link, f"slots/{slot.name}")


def open_slots(state_dir: Path) -> Slots:
    """Return the slots in `state_dir`, making the directories where missing."""
    for name in NAMES:
        durable.make_dir(state_dir / "slots" / name)
    return Slots(state_dir)


def check_members(slot: Slot, manifest: Manifest) -> None:
    """Compare every member's bytes with the manifest."""
    for member in manifest.members:
        try:
            digest = _hash_file(slot.member_path(member.name), member)
        except OSError as error:
            raise SlotError(
                f"slot {slot.name}: member {member.name} cannot be read"
            ) from error
        if digest != member.sha256:
            raise SlotError(
                f"slot {slot.name}: member {member.name} should have SHA-256"
                f" {member.sha256}, got {digest}"
            )


def _hash_file(path: Path, member: Member) -> str:
    """Return the SHA-256 of a member's file, reading no more than its length."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, member.length_bytes + 1):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path, limit_bytes: int) -> Iterator[bytes]:
    """Yield a file's content, at most `limit_bytes` of it; a link is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while limit_bytes and (chunk := file.read(min(_CHUNK_BYTES, limit_bytes))):
            limit_bytes -= len(chunk)
            yield chunk


def _read_capped(path: Path, limit_bytes: int) -> bytes:
    """Return a small file's content, cut one byte after `limit_bytes`."""
    return b"".join(_chunks(path, limit_bytes + 1))


def _read_marker(path: Path) -> str:
    """Return the manifest's hash that the marker names."""
    body = _read_capped(path, MARKER_MAX_BYTES)
    document = decode_json(body, what="slot marker", limit_bytes=MARKER_MAX_BYTES)
    fields = Fields(document, "slot marker")
    fields.integer("format", low=_FORMAT, high=_FORMAT)
    digest = fields.text("manifest_sha256", pattern=SHA256)
    fields.done()
    return digest


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
