"""Make this device's key, and tell the cloud about it, once.

    <state>/device.key       P-256, made at the first start, readable by this user only
    <state>/device.key.next  the one to come, while there is one (rotation.py)
    <state>/enrolled.json    the cloud's answer, written once it has taken the key: the
                             ring that it counts this device in, and since when

The key is on the disk before the token is spent, so an enrolment that broke off
is repeated with the same key, which the cloud accepts.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import UnavailableError
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
    def is_enrolled(self) -> bool:
        """Whether the cloud has this device's public key."""
        return self._marker.is_file()

    @property
    def _marker(self) -> Path:
        return self.state_dir / "enrolled.json"

    def sign(self, message: bytes) -> bytes:
        """Sign `message` with the device's key."""
        return sign(self.key_pem, message)

    def enroll(self, web: Web, url: str, token: str) -> None:
        """Give the cloud the public key, with the one-time token.

        Raises:
            UnavailableError: It was not taken now.
        """
        public_key = public_pem(self.key_pem)
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
    """Return this device's identity, making its key where there is none."""
    identity = Identity(state_dir, device)
    durable.make_dir(state_dir)
    if not identity.key_file.exists():
        durable.write_file(identity.key_file, generate_key_pem(), mode=KEY_MODE)
    return identity
