"""What the gateway believes: the signed rollout document of its model.

`trusted_repository.py` says what the roles vouch for; here a document is followed
only if every bundle that it names is vouched for by a release role, and only
forwards (`accepted.py`).

A poll is one conditional request. "Nothing new" is taken from anybody, but only
as long as all that was verified last is valid by our clock, and a day at most:
then, and whenever the timestamp differs, the whole repository is looked at anew.

Source: docs/protocol.md, 4; docs/adr/0013-one-question-a-poll.md
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import TargetFile

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.accepted import accepted_document
from edge_runtime.agent.trust.poll import Polled, poll_timestamp
from edge_runtime.agent.trust.trusted_repository import TrustedRepository, View
from packhorse.assignment import (
    ROLLOUT_MAX_BYTES,
    BundleRef,
    RolloutDocument,
    decode_rollout,
    rollout_target,
)
from packhorse.errors import UntrustedError

LOOK_EVERY = timedelta(days=1)
"""A new root that came without a new timestamp is seen after so long at the latest."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the signed repository says now.

    Attributes:
        document: Every bundle that it names is vouched for by a release role.
        valid_until: When the first of the roles expires that this was read under.
    """

    document: RolloutDocument
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class _Known:
    """A truth, and the timestamp that it was found under.

    Attributes:
        looked_at: When the whole repository was looked at.
    """

    truth: Truth
    timestamp: Polled
    looked_at: datetime

    def holds(self, model: str, now: datetime) -> bool:
        """Say whether it may be believed as long as the timestamp is the same."""
        until = min(self.truth.valid_until, self.looked_at + LOOK_EVERY)
        return self.truth.document.model == model and self.looked_at <= now < until


class Trust:
    """The truth about one model, from one repository."""

    def __init__(
        self,
        state_dir: Path,
        repository_url: str,
        root: bytes,
        web: Web,
        clock: Clock | None = None,
    ) -> None:
        """Trust what `root` vouches for.

        Args:
            state_dir: The gateway's state directory.
            repository_url: Has `/metadata/` and `/targets/` under it.
            root: The root metadata that was shipped with the gateway.
            web: The way there; it counts requests and bytes.
            clock: Judges what has expired; the gateway's own unless given.
        """
        self.state_dir = state_dir
        self.web = web
        self.clock = clock or Clock(state_dir)
        self._repository = TrustedRepository(
            state_dir,
            f"{repository_url}/metadata",
            f"{repository_url}/targets",
            root,
            web,
            self.clock,
        )
        self._known: _Known | None = None

    @property
    def metadata_dir(self) -> Path:
        """The link to the generation of metadata that counts."""
        return self._repository.metadata_dir

    def refresh(self, model: str) -> Truth:
        """Ask whether anything is new, verify it, and return what to believe now.

        Raises:
            UnavailableError: The repository did not answer; nothing is lost.
            UntrustedError: What it answered is not vouched for, has expired, or is
                older than what was accepted before.
        """
        now = self.clock.now()
        known = self._known if self._known and self._known.holds(model, now) else None
        timestamp = poll_timestamp(
            self.web,
            self._repository.timestamp_url,
            known.timestamp if known else None,
        )
        if known and timestamp is known.timestamp:
            return known.truth
        # Forgotten first: should the new one be refused, the old one must not come
        # back by being served again.
        self._known = None
        truth = self._look(model, timestamp.body)
        self._known = _Known(truth, timestamp, now)
        return truth

    def accepted(self, model: str) -> RolloutDocument | None:
        """Return the rollout document accepted last, or None."""
        return accepted_document(self.state_dir, self.metadata_dir, model).load()

    def _look(self, model: str, timestamp: bytes) -> Truth:
        """Look at the whole repository, and accept its document."""
        with self._repository.opened(timestamp=timestamp) as view:
            target = view.find(rollout_target(model))
            if target is None:
                raise UntrustedError(f"no role vouches for a rollout of {model}")
            known = accepted_document(self.state_dir, view.metadata_dir, model)
            found = known.find(target)
            body = found or view.read(target, most_bytes=ROLLOUT_MAX_BYTES)
            document = decode_rollout(body)
            if document.model != model:
                raise UntrustedError(
                    f"the rollout of {model} is about {document.model} instead"
                )
            known.check_follows(document)
            _check_vouched(view, document)
            if found is None:
                known.save(body)
            return Truth(document, view.valid_until)


def bundle_url(repository_url: str, bundle: BundleRef) -> str:
    """Return where a bundle lies: TUF's consistent snapshots prefix the hash.

    Its names need no quoting (packhorse/names.py).
    """
    folder, _, name = bundle.target.rpartition("/")
    return f"{repository_url}/targets/{folder}/{bundle.sha256}.{name}"


def _check_vouched(view: View, document: RolloutDocument) -> None:
    """Refuse a document that names what no release role vouches for."""
    offers = (document.stable, document.candidate)
    for offer in [offer for offer in offers if offer is not None]:
        for variant, bundle in offer.variants.items():
            info = view.find(bundle.target)
            _check_bundle(bundle, info, str(offer.release), variant)


def _check_bundle(
    bundle: BundleRef, info: TargetFile | None, release: str, variant: str
) -> None:
    """Refuse a bundle unless a release role vouches for exactly these bytes."""
    if info is None:
        raise UntrustedError(f"no release role vouches for {bundle.target}")
    vouched = (info.length, _sha256_of(info))
    if vouched != (bundle.length_bytes, bundle.sha256):
        raise UntrustedError(
            f"{bundle.target} is vouched for with {vouched[0]} bytes and SHA-256"
            f" {vouched[1]}, the rollout names {bundle.length_bytes}"
            f" and {bundle.sha256}"
        )
    custom = info.custom or {}
    about = (custom.get("release", release), custom.get("variant", variant))
    if about != (release, variant):
        raise UntrustedError(
            f"{bundle.target} is vouched for as {about[0]}, {about[1]},"
            f" not as {release}, {variant}"
        )


def _sha256_of(target: TargetFile) -> str:
    digest = target.hashes.get("sha256")
    if digest is None:
        raise UntrustedError(f"{target.path} is vouched for without a SHA-256")
    return digest
