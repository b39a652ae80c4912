"""Make this device's key, and tell the cloud about it, once.

    <state>/device.key       P-256, made at the first start, readable by this user only
    <state>/device.key.next  the one to come, while there is one (rotation.py)
    <state>/enrolled.json    the cloud's answer, written once it has taken the key: the
                             ring that it counts this device in, and since when

The key is on the disk before the token is spent, so an enrolment that broke off
is repeated with the same key, which the cloud accepts.

A key that cannot be read, or is gone though the cloud knows it, may come back: the
disk was not mounted, or failed. So nothing is ever made in its place, and what needs
no signature goes on without it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from edge_runtime import durable
from edge_runtime.agent.errors import KeyLostError, UnavailableError
from edge_runtime.agent.network.web import Web, read_reply
from packhorse.device_key import generate_key_pem, public_pem, sign
from packhorse.device_requests import seal_enrolment
from packhorse.errors import MalformedError
from packhorse.names import RING_MAX
from packhorse.strict_json import Fields, decode_json

KEY_MODE = 0o600
KEY_MAX_BYTES = 4096

_MARKER_MAX_BYTES = 4096
_ENROLLED = frozenset({200, 201})

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cloud counts this device.

    Attributes:
        enrolled_at: By the cloud's clock; None where it did not say.
    """

    ring: int
    enrolled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is, and how it proves it."""

    state_dir: Path
    device: str

    @property
    def key_file(self) -> Path:
        """Where the key lies that signs."""
        return self.state_dir / "device.key"

    @property
    def next_key_file(self) -> Path:
        """Where the key lies that shall sign."""
        return self.state_dir / "device.key.next"

    @property
    def wish_file(self) -> Path:
        """What lies there while somebody wishes another key."""
        return self.state_dir / "device.key.wanted"

    @property
    def key_pem(self) -> bytes:
        """Return the key that signs now: it may have changed since the last time."""
        with self.key_file.open("rb") as file:
            return file.read(KEY_MAX_BYTES)

    @property
    def public_key(self) -> str:
        """Return the public half of the key, as PEM.

        Raises:
            KeyLostError: The key cannot be used.
        """
        return self._use(public_pem)

    @property
    def trouble(self) -> str:
        """Return why the key cannot be used, and what to do; "" where it can."""
        try:
            self._use(public_pem)
        except KeyLostError as error:
            return str(error)
        return ""

    @property
    def is_enrolled(self) -> bool:
        """Whether the cloud has this device's public key."""
        return self._marker.is_file()

    @property
    def has_key(self) -> bool:
        """Whether there is a key, or was one that the cloud knows."""
        return _is_there(self.key_file) or _is_there(self._marker)

    @property
    def _marker(self) -> Path:
        return self.state_dir / "enrolled.json"

    def sign(self, message: bytes) -> bytes:
        """Sign `message` with the device's key.

        Raises:
            KeyLostError: The key cannot be used.
        """
        return self._use(lambda pem: sign(pem, message))

    def enroll(self, web: Web, url: str, token: str) -> None:
        """Give the cloud the public key, with the one-time token.

        Raises:
            UnavailableError: It was not taken now.
        """
        public_key = self.public_key
        body = seal_enrolment(public_key, token, device=self.device, sign=self.sign)
        status, reply = web.post(url, body)
        if status not in _ENROLLED:
            raise UnavailableError(f"the enrolment was answered with {status}")
        try:
            _decode_place(reply)
        except MalformedError as error:
            raise UnavailableError(f"the enrolment's answer: {error}") from error
        durable.write_file(self._marker, reply)

    def hear(self, reply: bytes) -> None:
        """Wish for a new key where the cloud's answer asks for one.

        Nobody signed that; who could forge it may have this device change its
        key, which harms nobody.
        """
        if _wants_rotation(reply):
            # On a full disk the wish is lost; the next answer says it again.
            with contextlib.suppress(OSError):
                self.wish_for_rotation()

    def wish_for_rotation(self) -> None:
        """Have the agent change the key at its next look."""
        if not self.wish_file.exists():
            durable.write_file(self.wish_file, b"")

    def place(self, ring: int) -> Place:
        """Return where the cloud counts this device; in `ring` where it did not say.

        The gate counts it there, so a setting must not move it.
        """
        try:
            with self._marker.open("rb") as file:
                return _decode_place(file.read(_MARKER_MAX_BYTES + 1))
        except (OSError, MalformedError):
            return Place(ring)

    def _use(self, do: Callable[[bytes], _Result]) -> _Result:
        """Do something with the key.

        Raises:
            KeyLostError: It cannot be read, or is none.
        """
        try:
            return do(self.key_pem)
        except (OSError, MalformedError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise KeyLostError(
                f"{self.key_file} cannot be used: {why}. Bring the file back, or revoke"
                " this device, invite it anew, and remove that file and enrolled.json"
            ) from error


def _is_there(path: Path) -> bool:
    """Say whether something is at `path`, or a failing disk hides whether it is."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _wants_rotation(reply: bytes) -> bool:
    try:
        return read_reply(reply).optional("is_rotation_wanted") is True
    except MalformedError:
        return False


def _decode_place(body: bytes) -> Place:
    value = decode_json(body, what="enrolment", limit_bytes=_MARKER_MAX_BYTES)
    fields = Fields(value, "the enrolment")
    ring = fields.integer("ring", high=RING_MAX)
    try:
        at = datetime.fromisoformat(fields.text("enrolled_at")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedError("an enrolment's instant must be ISO 8601") from error
    return Place(ring, at)


def load_identity(state_dir: Path, device: str) -> Identity:
    """Return this device's identity, making its key where there never was one."""
    identity = Identity(state_dir, device)
    durable.make_dir(state_dir)
    if not identity.has_key:
        durable.write_file(identity.key_file, generate_key_pem(), mode=KEY_MODE)
    return identity
