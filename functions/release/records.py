"""Say what the ledger keeps of a release, for rules and functions to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from functions.errors import ConflictError
from packhorse.assignment import BundleRef, Offer
from packhorse.names import Release


class ReleaseState(StrEnum):
    """How far a release has come; its rollout is another record."""

    REGISTERED = "registered"
    PACKAGED = "packaged"
    PUBLISHED = "published"
    DEPLOYED = "deployed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """One release, as the ledger knows it.

    Attributes:
        digest: The pushed manifest's, `sha256:` and 64 hex digits.
        reason: Why it was refused; empty otherwise.
        card: What the pusher says about the model.
        variants: By name; None until packaged.
        model_version: Vertex AI's resource name; empty until uploaded.
        deployed_ids: By endpoint, `candidate` or `serving`, once allocated.
        execution: The workflow execution that claimed it; empty until then.
        is_opened: Whether the workflow has done its part, to the rollout's begin.
    """

    release: Release
    digest: str
    state: ReleaseState
    reason: str
    card: Mapping[str, object]
    variants: Mapping[str, BundleRef | None]
    model_version: str
    deployed_ids: Mapping[str, str]
    execution: str
    is_opened: bool = False

    def offer(self) -> Offer:
        """Return what devices are offered of it.

        Raises:
            ConflictError: A variant is not packaged yet.
        """
        ready = {name: ref for name, ref in self.variants.items() if ref is not None}
        missing = sorted(set(self.variants) - set(ready))
        if missing:
            raise ConflictError(f"{self.release} still lacks {', '.join(missing)}")
        return Offer(self.release, ready)


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release that was pushed, before it is registered.

    Attributes:
        variants: Names of what it is to be packaged as.
    """

    release: Release
    digest: str
    card: Mapping[str, object]
    variants: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history of a release, a rollout or a device.

    Attributes:
        what: What it became.
        reason: Why, in a sentence; may be empty.
        by: The operator's email; empty where the system decided.
    """

    at: datetime
    what: str
    reason: str = ""
    by: str = ""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "at": self.at.isoformat(),
            "what": self.what,
            "reason": self.reason,
            "by": self.by,
        }
