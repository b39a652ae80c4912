"""The rollout documents that were accepted, so that none is ever undone.

    <state>/rollouts/magika.<keys>.json     the one accepted last, under these keys

A document never has a smaller sequence than the one before, nor forgets what that
one withdrew: whoever steals the key of `rollouts` cannot bring a withdrawn release
back to a gateway that has heard of the withdrawal.

The thief can still count up to the last number there is, or withdraw everything.
So a document binds only those that come under the same keys: once the owner of
`targets` has replaced the key, what came under the stolen one is as good as gone.

Source: docs/protocol.md, 4.1; The Update Framework, 1.0.34, 5.3.11
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from edge_runtime import durable
from packhorse.assignment import ROLLOUT_MAX_BYTES, RolloutDocument, decode_rollout
from packhorse.errors import MalformedError, UntrustedError
from packhorse.trust_root import ROLLOUTS

_KEYS_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class AcceptedDocument:
    """The document of one model accepted last under the keys of now.

    Attributes:
        path: Where it lies, if there is one.
    """

    path: Path

    def load(self) -> RolloutDocument | None:
        """Return it, or None."""
        try:
            return decode_rollout(self._read())
        except (OSError, MalformedError):
            return None

    def find(self, target: TargetFile) -> bytes | None:
        """Return its bytes if they are those that `target` vouches for."""
        try:
            if self.path.stat().st_size != target.length:
                return None
            target.verify_length_and_hashes(body := self._read())
        except (OSError, RepositoryError):
            return None
        return body

    def save(self, body: bytes) -> None:
        """Replace it, durably."""
        durable.make_dir(self.path.parent)
        durable.write_file(self.path, body)

    def check_follows(self, document: RolloutDocument) -> None:
        """Refuse a document that goes back.

        Raises:
            UntrustedError: Its sequence is smaller, or it forgets a withdrawal.
        """
        before = self.load()
        if before is None:
            return
        if document.sequence < before.sequence:
            raise UntrustedError(
                f"the rollout of {document.model} must not go back: sequence"
                f" {before.sequence} was accepted, {document.sequence} came"
            )
        forgotten = set(before.withdrawn) - set(document.withdrawn)
        if forgotten:
            raise UntrustedError(
                f"{min(forgotten)} was withdrawn for ever,"
                f" and the rollout of {document.model} no longer says so"
            )

    def _read(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(ROLLOUT_MAX_BYTES + 1)


def accepted_document(
    state_dir: Path, metadata_dir: Path, model: str
) -> AcceptedDocument:
    """Return the place of a model's document under the keys that hold now.

    Args:
        state_dir: The gateway's state directory.
        metadata_dir: Holds the verified `targets.json`, which names the keys.
        model: A proper model name.
    """
    name = f"{model}.{_read_keys(metadata_dir)}.json"
    return AcceptedDocument(state_dir / "rollouts" / name)


def _read_keys(metadata_dir: Path) -> str:
    """Name the keys of the role `rollouts`, shortly."""
    try:
        body = (metadata_dir / "targets.json").read_bytes()
        targets = Metadata[Targets].from_bytes(body).signed
    except (OSError, RepositoryError):
        return "none"
    roles = (targets.delegations.roles if targets.delegations else None) or {}
    role = roles.get(ROLLOUTS)
    named = ",".join(sorted(role.keyids)) if role else ""
    return hashlib.sha256(named.encode()).hexdigest()[:_KEYS_CHARACTERS]
