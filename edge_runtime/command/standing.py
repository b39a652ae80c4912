"""How the update agent stands, read from what it left on the disk.

Nothing here needs the agent to run, nor a network. The files may be replaced while
they are read: each is whole at any time, and one that is missing says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.memory import Memory, MemoryFile
from edge_runtime.agent.report import WAITING_FILES
from packhorse.errors import PackhorseError
from packhorse.strict_json import decode_json

ROLES = ("timestamp", "snapshot", "targets", "root")

_METADATA_MAX_BYTES = 1_048_576
_REFUSALS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """What the agent of one state directory left.

    Attributes:
        memory: What it remembers.
        until: When the trusted metadata of each role expires.
        now: By the gateway's clock, which is never before its floor.
        is_clock_wrong: Whether the machine's own clock is known to be behind.
        reports: How many wait to be sent.
    """

    memory: Memory
    now: datetime
    is_clock_wrong: bool
    reports: int
    until: Mapping[str, datetime] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Say it to a program."""
        memory, deployment = self.memory, self.memory.deployment
        return {
            "deployment": deployment
            and {
                "release": str(deployment.release),
                "rollout_id": deployment.rollout_id,
                "stage": deployment.stage.value,
                "attempts": deployment.attempts,
                "waits_for": deployment.wait,
                "reason": deployment.why,
            },
            "refused": [
                {
                    "release": str(refusal.release),
                    "rollout_id": refusal.rollout_id,
                    "reason": refusal.reason,
                }
                for refusal in memory.refused
            ],
            "distrust": memory.complaint,
            "trusted_until": {role: _iso(at) for role, at in self.until.items()},
            "clock": {"now": _iso(self.now), "is_wrong": self.is_clock_wrong},
            "reports_waiting": self.reports,
            "key_trouble": memory.key_trouble,
        }

    def sentences(self) -> list[str]:
        """Say it to a person, a line for each thing."""
        return [
            f"deploy  {self._deployment()}",
            *(f"refused {line}" for line in self._refused()),
            f"trust   {self._trust()}",
            f"clock   {self._clock()}",
            f"reports {self.reports} {'waits' if self.reports == 1 else 'wait'}",
            *(f"key     {line}" for line in [self.memory.key_trouble] if line),
        ]

    def _deployment(self) -> str:
        deployment = self.memory.deployment
        if deployment is None:
            return "nothing is under way"
        by = f" of rollout {deployment.rollout_id}" if deployment.rollout_id else ""
        words = f"{deployment.release}{by}: {deployment.stage.value}"
        if deployment.why:
            verb = "waits" if deployment.wait else "tries again"
            return f"{words}, {verb}: {deployment.why}"
        return words

    def _refused(self) -> list[str]:
        """Return the last refusals, the newest first."""
        last = self.memory.refused[: -_REFUSALS_SHOWN - 1 : -1]
        return [
            f"{refusal.release}, until its rollout is another: {refusal.reason}"
            for refusal in last
        ]

    def _trust(self) -> str:
        if self.memory.complaint:
            return f"the last metadata was refused: {self.memory.complaint}"
        if not self.until:
            return "no metadata was ever accepted"
        role = min(self.until, key=self.until.__getitem__)
        words = f"{_minute(self.until[role])}, when {role} expires"
        if self.until[role] > self.now:
            return f"until {words}"
        return f"expired {words.replace('expires', 'expired')}: nothing new is begun"

    def _clock(self) -> str:
        if self.is_clock_wrong:
            return f"wrong: it is behind {_minute(self.now)}, which is past for certain"
        return _minute(self.now)


def read_standing(state_dir: Path) -> Standing | None:
    """Read what the agent left; None where no agent ever ran."""
    file = state_dir / "agent" / "memory.json"
    if not file.parent.is_dir():
        return None
    clock = Clock(state_dir, is_synchronised=lambda: False)  # which notes nothing
    return Standing(
        memory=MemoryFile(file).load(),
        now=clock.now(),
        is_clock_wrong=clock.is_wrong,
        reports=sum(1 for _ in (state_dir / "spool").glob(WAITING_FILES)),
        until=_read_expiries(state_dir / "trusted"),
    )


def _read_expiries(metadata_dir: Path) -> dict[str, datetime]:
    """Return when each role expires whose metadata is trusted."""
    found = {}
    for role in ROLES:
        try:
            with (metadata_dir / f"{role}.json").open("rb") as file:
                body = file.read(_METADATA_MAX_BYTES + 1)
            value = decode_json(body, what=role, limit_bytes=_METADATA_MAX_BYTES)
            expires = value["signed"]["expires"]  # type: ignore[index] # TypeError
            found[role] = datetime.fromisoformat(str(expires)).astimezone(UTC)
        except (OSError, PackhorseError, KeyError, TypeError, ValueError):
            continue
    return found


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
