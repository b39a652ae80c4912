"""Say what shadow runs found of a candidate, and when that holds it back.

The prediction function sends some live requests to the candidate endpoint too,
compares both answers, and reports sums. This module holds the sums, the message
that carries them, and the limits; nothing here compares or counts by itself.

Source: docs/protocol.md, 9.2 "Sums of shadow runs"
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from functions.errors import RolloutError
from packhorse.errors import MalformedError
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_instant, decode_json, encode_json

MESSAGE_MAX_BYTES = 4096
REASON_MAX = 500
FORMAT = 1
COUNT_MAX = 10**9
"""Of one message. Sums of as many messages as there may be fit in 63 bits."""
TOOK_MAX_S = 7200.0
"""One request, at most: no endpoint of Vertex AI has two hours."""
AGE_MAX = timedelta(days=31)
"""As long as Pub/Sub can keep a message. Its id is remembered for longer, so what
is older than this would be counted twice."""
_ID = "[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """What became of live requests that a candidate was asked too.

    Attributes:
        agreed: Answered alike, every output within its tolerance.
        differed: Answered otherwise.
        failed: Not answered at all: late, refused for load, or broken off.
        timed: Of those answered, how many whose time is known on both sides.
        live_s: Time that the live endpoint took for these, together.
        shadow_s: Time that the candidate took for the same ones.
        reason: In what one of them differed.
    """

    agreed: int = 0
    differed: int = 0
    failed: int = 0
    timed: int = 0
    live_s: float = 0.0
    shadow_s: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse sums that no runs can have."""
        numbers = (self.agreed, self.differed, self.failed, self.timed)
        if min(*numbers, self.live_s, self.shadow_s) < 0 or self.timed > self.compared:
            raise MalformedError(f"no shadow runs have these sums: {self}")

    def __add__(self, other: "ShadowCounts") -> "ShadowCounts":
        """Return the sums of both; the reason is the first one's that has one."""
        return ShadowCounts(
            self.agreed + other.agreed,
            self.differed + other.differed,
            self.failed + other.failed,
            self.timed + other.timed,
            self.live_s + other.live_s,
            self.shadow_s + other.shadow_s,
            self.reason or other.reason,
        )

    @property
    def compared(self) -> int:
        """Count the requests that both answered."""
        return self.agreed + self.differed

    @property
    def agreement(self) -> float | None:
        """Return which share of them was answered alike; None where none was."""
        return self.agreed / self.compared if self.compared else None

    @property
    def latency_ratio(self) -> float | None:
        """Return the candidate's mean time in that of the live one, where known."""
        return self.shadow_s / self.live_s if self.live_s else None


NOTHING = ShadowCounts()


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """Sums of one process over a short time: one message of the topic `shadows`.

    Attributes:
        id: 32 hexadecimal digits; the same each time that the message is sent.
        live: The release that answered the callers.
        candidate: The release that they were compared with.
        since: No run that is counted here ended before.
    """

    id: str
    live: Release
    candidate: Release
    since: datetime
    counts: ShadowCounts

    def __post_init__(self) -> None:
        """Refuse a release that was compared with itself, or another model's.

        And times that no endpoint takes, one of which would decide for all.
        """
        if self.live.model != self.candidate.model or self.live == self.candidate:
            raise MalformedError(f"{self.candidate} is no candidate beside {self.live}")
        counts = self.counts
        if max(counts.live_s, counts.shadow_s) > TOOK_MAX_S * counts.timed:
            raise MalformedError(f"no {counts.timed} requests take so long: {counts}")


def encode_shadow_report(report: ShadowReport) -> bytes:
    """Write the message as canonical JSON."""
    counts = report.counts
    return encode_json(
        {
            "format": FORMAT,
            "id": report.id,
            "live": str(report.live),
            "candidate": str(report.candidate),
            "since": report.since.isoformat(timespec="milliseconds"),
            "agreed": counts.agreed,
            "differed": counts.differed,
            "failed": counts.failed,
            "timed": counts.timed,
            "live_s": round(counts.live_s, 6),
            "shadow_s": round(counts.shadow_s, 6),
            "reason": counts.reason[:REASON_MAX],
        }
    )


def decode_shadow_report(body: bytes) -> ShadowReport:
    """Read the message.

    Raises:
        LimitExceededError: It is too long.
        MalformedError: It is none.
    """
    value = decode_json(body, what="shadow report", limit_bytes=MESSAGE_MAX_BYTES)
    fields = Fields(value, "the shadow report")
    fields.integer("format", low=FORMAT, high=FORMAT)
    report = ShadowReport(
        id=fields.text("id", pattern=_ID),
        live=parse_release(fields.text("live")),
        candidate=parse_release(fields.text("candidate")),
        since=decode_instant(fields.text("since", max_length=40), "'since'"),
        counts=ShadowCounts(
            agreed=fields.integer("agreed", high=COUNT_MAX),
            differed=fields.integer("differed", high=COUNT_MAX),
            failed=fields.integer("failed", high=COUNT_MAX),
            timed=fields.integer("timed", high=COUNT_MAX),
            live_s=fields.number("live_s"),
            shadow_s=fields.number("shadow_s"),
            reason=fields.text("reason", max_length=REASON_MAX),
        ),
    )
    fields.done()
    return report


def dated(
    report: ShadowReport, *, published_at: datetime, now: datetime
) -> ShadowReport:
    """Return the report as it counts, whatever its process's clock said.

    A clock that is ahead would have its sums count for ever as found since a person
    resumed the rollout.

    Args:
        report: As it came.
        published_at: When Pub/Sub took it.
        now: Ours.

    Raises:
        MalformedError: It is too old to tell whether it was counted.
    """
    since = min(report.since, published_at, now)
    if now - since > AGE_MAX:
        raise MalformedError(
            f"a shadow report may be {AGE_MAX.days} days old, this one is of {since}"
        )
    return replace(report, since=since)


@dataclass(frozen=True, slots=True)
class ShadowGate:
    """What shadow runs must show; a rollout that falls short is halted.

    Attributes:
        min_agreement: Least share of the compared requests that is answered
            alike, in [0, 1]; 0 holds nothing back.
        min_count: Fewer compared requests judge nothing.
        max_latency_ratio: Most time that the candidate may take on average, in
            that of the live release; 0 for any.
    """

    min_agreement: float = 0.99
    min_count: int = 100
    max_latency_ratio: float = 0.0

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        if not 0 <= self.min_agreement <= 1 or self.max_latency_ratio < 0:
            raise RolloutError(f"a gate's agreement lies in [0, 1]: {self}")
        if self.min_count < 1:
            raise RolloutError(f"a gate judges one request or more: {self}")


STANDARD = ShadowGate()


def shadow_objection(counts: ShadowCounts, gate: ShadowGate) -> str:
    """Say why shadow runs hold a candidate back; empty where they do not."""
    agreement, ratio = counts.agreement, counts.latency_ratio
    if (
        agreement is not None
        and counts.compared >= gate.min_count
        and agreement < gate.min_agreement
    ):
        said = f": {counts.reason}" if counts.reason else ""
        return (
            f"of {counts.compared} live requests {agreement:.1%} were answered alike, "
            f"expected at least {gate.min_agreement:.1%}{said}"
        )
    is_slow = ratio is not None and 0 < gate.max_latency_ratio < ratio
    if is_slow and counts.timed >= gate.min_count:
        return (
            f"on {counts.timed} live requests it took {ratio:.3g} times as long as "
            f"what is live, expected at most {gate.max_latency_ratio:g} times"
        )
    return ""
