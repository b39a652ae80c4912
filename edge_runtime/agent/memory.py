"""What the agent remembers over a power cut: one small file, written whole.

It holds the deployment that is under way, the releases refused here and why,
the releases that have served here, and the one that serves now. A file that
cannot be read is as good as none: the slots and the signed truth say the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.machine import Stage
from packhorse.assignment import BundleRef, decode_bundle_ref, encode_bundle_ref
from packhorse.errors import PackhorseError
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_json, encode_json

MEMORY_MAX_BYTES = 524_288
"""A few kilobytes in practice; 33 reasons of 500 characters, each written as twelve
bytes of JSON, are 198,000."""

REFUSED_MAX = 32
"""Refusals remembered; the oldest give way."""

PROVEN_MAX = 8
"""Releases remembered to have served here; only the two slots matter."""

REASON_MAX = 500
"""Characters of a reason, as in a report."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """One release on its way into service here.

    Attributes:
        stage: What is to be done next.
        attempts: How often that stage failed in a row.
        valid_until: Until when the metadata that asked for it counts as fresh;
            without the cloud, nothing new is begun or finished after it.
        wait: The rule of this site that it waited for last in this stage, so that
            the cloud is told once; empty for none.
        is_withdrawal: Whether what serves was withdrawn: then nothing waits.
        why: Why this stage could not be finished when it ran last, for people.
    """

    release: Release
    variant: str
    bundle: BundleRef
    rollout_id: str
    stage: Stage
    valid_until: datetime
    attempts: int = 0
    wait: str = ""
    is_withdrawal: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A release that must not be tried again in the same rollout."""

    release: Release
    rollout_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Memory:
    """All that the agent remembers.

    Attributes:
        proven: Releases that served here, the latest last.
        serving: The release last known to serve, or None.
        serving_rollout_id: The rollout that brought it, empty for a stable one.
        complaint: The last distrust reported, so that it is reported once.
        handover: Number of the supervisor's last handover that was heard of.
        key_trouble: Why nothing can be signed with the device's key, and what to do.
    """

    deployment: Deployment | None = None
    refused: tuple[Refusal, ...] = ()
    proven: tuple[Release, ...] = ()
    serving: Release | None = None
    serving_rollout_id: str = ""
    complaint: str = ""
    handover: str = ""
    key_trouble: str = ""

    def refusal(self, release: Release, rollout_id: str) -> Refusal | None:
        """Return why `release` was refused in that rollout, or None."""
        for refusal in self.refused:
            if (refusal.release, refusal.rollout_id) == (release, rollout_id):
                return refusal
        return None

    def with_refusal(self, refusal: Refusal) -> "Memory":
        """Return a memory that knows of one refusal more."""
        kept = tuple(r for r in self.refused if r.release != refusal.release)
        return replace(self, refused=(*kept, refusal)[-REFUSED_MAX:])

    def with_serving(self, release: Release, rollout_id: str = "") -> "Memory":
        """Return a memory in which `release` serves and has proved itself."""
        kept = tuple(r for r in self.proven if r != release)
        return replace(
            self,
            serving=release,
            serving_rollout_id=rollout_id,
            proven=(*kept, release)[-PROVEN_MAX:],
        )

    def sentence(self) -> str:
        """Say how this gateway stands."""
        serving = f"{self.serving} serves" if self.serving else "nothing serves"
        if self.key_trouble:
            serving = f"{serving}; no report is sent, its key cannot be used"
        deployment = self.deployment
        if deployment is None:
            return f"{serving}; nothing is under way"
        wait = f", waits: {deployment.wait}" if deployment.wait else ""
        return f"{serving}; {deployment.release}: {deployment.stage.value}{wait}"

    def without_proof(self, release: Release) -> "Memory":
        """Return a memory in which `release` has to be tried before it serves."""
        return replace(self, proven=tuple(r for r in self.proven if r != release))


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Where the memory is kept."""

    path: Path
    empty: Memory = field(default_factory=Memory)

    def load(self) -> Memory:
        """Return what was saved last, or an empty memory."""
        try:
            with self.path.open("rb") as file:
                return decode_memory(file.read(MEMORY_MAX_BYTES + 1))
        except (OSError, PackhorseError, ValueError, OverflowError):
            return self.empty

    def save(self, memory: Memory) -> None:
        """Replace the file, durably."""
        durable.make_dir(self.path.parent)
        durable.write_file(self.path, encode_memory(memory))


def encode_memory(memory: Memory) -> bytes:
    """Write the memory as canonical JSON."""
    return encode_json(
        {
            "format": _FORMAT,
            "deployment": _encode_deployment(memory.deployment),
            "refused": [
                {
                    "release": str(refusal.release),
                    "rollout_id": refusal.rollout_id,
                    "reason": refusal.reason[:REASON_MAX],
                }
                for refusal in memory.refused
            ],
            "proven": [str(release) for release in memory.proven],
            "serving": str(memory.serving) if memory.serving else None,
            "serving_rollout_id": memory.serving_rollout_id,
            "complaint": memory.complaint[:REASON_MAX],
            "handover": memory.handover,
            "key_trouble": memory.key_trouble[:REASON_MAX],
        }
    )


def decode_memory(body: bytes) -> Memory:
    """Read what `encode_memory` wrote.

    Raises:
        MalformedError: It is something else.
    """
    document = decode_json(body, what="agent's memory", limit_bytes=MEMORY_MAX_BYTES)
    fields = Fields(document, "the agent's memory")
    fields.integer("format", low=_FORMAT, high=_FORMAT)
    serving = fields.optional("serving")
    deployment = fields.optional("deployment")
    memory = Memory(
        deployment=None if deployment is None else _decode_deployment(deployment),
        refused=tuple(_decode_refusal(r) for r in fields.sequence("refused")),
        proven=tuple(parse_release(str(r)) for r in fields.sequence("proven")),
        serving=None if serving is None else parse_release(str(serving)),
        serving_rollout_id=fields.text("serving_rollout_id"),
        complaint=fields.text("complaint"),
        handover=str(fields.optional("handover") or ""),
        key_trouble=str(fields.optional("key_trouble") or ""),
    )
    fields.done()
    return memory


def _encode_deployment(deployment: Deployment | None) -> Mapping[str, object] | None:
    if deployment is None:
        return None
    return {
        "release": str(deployment.release),
        "variant": deployment.variant,
        "bundle": encode_bundle_ref(deployment.bundle),
        "rollout_id": deployment.rollout_id,
        "stage": deployment.stage.value,
        "valid_until": deployment.valid_until.timestamp(),
        "attempts": deployment.attempts,
        "wait": deployment.wait,
        "is_withdrawal": deployment.is_withdrawal,
        "why": deployment.why[:REASON_MAX],
    }


def _decode_deployment(value: object) -> Deployment:
    fields = Fields(value, "the agent's deployment")
    deployment = Deployment(
        release=parse_release(fields.text("release")),
        variant=fields.text("variant"),
        bundle=decode_bundle_ref(fields.take("bundle")),
        rollout_id=fields.text("rollout_id"),
        stage=Stage(fields.text("stage")),
        valid_until=datetime.fromtimestamp(fields.number("valid_until"), UTC),
        attempts=fields.integer("attempts"),
        # A memory of the version before has neither.
        wait=str(fields.optional("wait") or ""),
        is_withdrawal=fields.optional("is_withdrawal") is True,
        why=str(fields.optional("why") or ""),
    )
    fields.done()
    return deployment


def _decode_refusal(value: object) -> Refusal:
    fields = Fields(value, "a refusal")
    refusal = Refusal(
        release=parse_release(fields.text("release")),
        rollout_id=fields.text("rollout_id"),
        reason=fields.text("reason"),
    )
    fields.done()
    return refusal
