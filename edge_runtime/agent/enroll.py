"""Make this device's key, and tell the cloud about it, once.

    <state>/device.key       P-256, made at the first start, readable by this user only
    <state>/enrolled.json    written once the cloud has taken the public key, with the
                             ring that it counts this device in

The key is on the disk before the token is spent, so an enrolment that broke off
is repeated with the same key, which the cloud accepts.
"""

from dataclasses import dataclass
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.web import Web
from packhorse.device_key import generate_key_pem, public_pem, sign
from packhorse.errors import MalformedError
from packhorse.names import RING_MAX
from packhorse.report import seal
from packhorse.strict_json import Fields, decode_json, encode_json

KEY_MODE = 0o600
KEY_MAX_BYTES = 4096

_MARKER_MAX_BYTES = 4096
_ENROLLED = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is, and how it proves it."""

    state_dir: Path
    device: str
    key_pem: bytes

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
        payload = encode_json({"token": token, "public_key": public_key})
        body = seal(payload, device=self.device, sign=self.sign, purpose="enroll")
        status, reply = web.post(url, body)
        if status not in _ENROLLED:
            raise UnavailableError(f"the enrolment was answered with {status}")
        try:
            ring = _read_ring(reply)
        except MalformedError as error:
            raise UnavailableError(f"the enrolment's answer: {error}") from error
        marker = {"device": self.device, "ring": ring}
        durable.write_file(self._marker, encode_json(marker))

    def ring(self, default: int) -> int:
        """Return the ring that the cloud gave, or `default` where it gave none.

        The gate counts a device in that ring, so a setting must not move it.
        """
        try:
            with self._marker.open("rb") as file:
                return _read_ring(file.read(_MARKER_MAX_BYTES + 1))
        except (OSError, MalformedError):
            return default


def _read_ring(body: bytes) -> int:
    value = decode_json(body, what="enrolment", limit_bytes=_MARKER_MAX_BYTES)
    return Fields(value, "the enrolment").integer("ring", high=RING_MAX)


def load_identity(state_dir: Path, device: str) -> Identity:
    """Return this device's identity, making its key where there is none."""
    path = state_dir / "device.key"
    durable.make_dir(state_dir)
    if not path.exists():
        durable.write_file(path, generate_key_pem(), mode=KEY_MODE)
    with path.open("rb") as file:
        return Identity(state_dir, device, file.read(KEY_MAX_BYTES))
