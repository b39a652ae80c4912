"""Say what a rollout is, and where it may go next.

A rollout offers one release to one ring of devices after another, the
smallest ring first. This module holds the record and every change that may
happen to it; `gate.py` decides which change is due, `traffic.py` what the
serving endpoint does meanwhile. `advance_rollout.py` and `operate.py` carry
the changes out. A change never happens in place: it makes the next record,
whose sequence is one higher.

Source: docs/adr/0004-rings-and-gates.md
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from functions.errors import ConflictError, RolloutError
from packhorse.assignment import Offer, RolloutDocument
from packhorse.names import Release

WHOLE_RING = 10_000
"""Shares are counted in ten thousandths of a ring."""

ALL_TRAFFIC = 100
"""Traffic is counted in percent, as Vertex AI counts it."""


class RolloutState(StrEnum):
    """What became of a model's latest rollout."""

    WAITING = "waiting"
    OPEN = "open"
    FINISHED = "finished"
    HALTED = "halted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Where one model stands: what it rolls out, and what it goes back to.

    Attributes:
        sequence: Counts the changes; the signed document carries the same.
        rollout_id: Names the latest rollout, also when it is over.
        candidate: The release being rolled out, while there is one.
        stable: What everybody else runs.
        former: What was stable before; a withdrawal goes back to it.
        ring: The last ring that opened.
        shares: Ring to the share of it that is admitted, in 0..10000.
        opened_at: When the last ring opened; its soak counts from here.
        enrolled_before: When the first ring opened, while it alone is open: who
            enrols later was not counted, and is not admitted.
        traffic_percent: The candidate's share of the serving endpoint.
        withdrawn: Releases that never come back.
        reason: Why it halted or was withdrawn, for people.
        published_sequence: The last sequence whose document was signed.
        resumed_at: When a person last let it go on: what shadow runs of before
            found has been looked at, and halts it no more.
    """

    model: str
    sequence: int
    rollout_id: str
    state: RolloutState
    candidate: Offer | None
    stable: Offer | None
    former: Offer | None
    ring: int
    shares: Mapping[int, int]
    opened_at: datetime
    traffic_percent: int
    withdrawn: tuple[Release, ...] = ()
    reason: str = ""
    published_sequence: int = field(default=0)
    enrolled_before: datetime | None = None
    resumed_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a record that no change can have made."""
        if self.sequence < 1 or not 0 <= self.published_sequence <= self.sequence:
            raise RolloutError(
                f"a rollout's sequence starts at 1 and is published in order, not "
                f"{self.published_sequence} of {self.sequence}"
            )
        if not 0 <= self.traffic_percent <= ALL_TRAFFIC:
            raise RolloutError(f"no endpoint has {self.traffic_percent} % to give")
        if any(not 0 <= share <= WHOLE_RING for share in self.shares.values()):
            raise RolloutError(f"a share lies in 0..{WHOLE_RING}, not {self.shares}")
        back = [release for release in self.offered if release in self.withdrawn]
        if back:
            raise RolloutError(f"{back[0]} was withdrawn and must not be offered")

    @property
    def offered(self) -> tuple[Release, ...]:
        """Name the releases that a device may be given: candidate, stable, former."""
        offers = (self.candidate, self.stable, self.former)
        return tuple(offer.release for offer in offers if offer is not None)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is being rolled out."""
        return self.candidate is None

    @property
    def is_published(self) -> bool:
        """Tell whether the devices can read this record already."""
        return self.published_sequence == self.sequence


def begin(
    previous: RolloutRecord | None, candidate: Offer, *, at: datetime
) -> RolloutRecord | None:
    """Make the record that starts to roll `candidate` out.

    An unfinished rollout of the same model is superseded: its candidate is
    offered no longer. Versions only rise, so asking twice changes nothing and
    nothing that was superseded or withdrawn comes back.

    Returns:
        The next record, or None when this release, or a later one, had its turn.
    """
    release = candidate.release
    if previous is None:
        return _waiting(candidate, sequence=1, at=at)
    had_turn = (*previous.offered, *previous.withdrawn)
    if any(release.version <= other.version for other in had_turn):
        return None
    fresh = _waiting(candidate, sequence=previous.sequence + 1, at=at)
    return replace(
        fresh,
        stable=previous.stable,
        former=previous.former,
        withdrawn=previous.withdrawn,
        published_sequence=previous.published_sequence,
    )


def _waiting(candidate: Offer, *, sequence: int, at: datetime) -> RolloutRecord:
    release = candidate.release
    return RolloutRecord(
        model=release.model,
        sequence=sequence,
        rollout_id=f"{release.model}-{release.version}-{sequence}",
        state=RolloutState.WAITING,
        candidate=candidate,
        stable=None,
        former=None,
        ring=0,
        shares={},
        opened_at=at,
        traffic_percent=0,
    )


def open_first(
    record: RolloutRecord, *, ring: int, share: int, rollout_id: str, at: datetime
) -> RolloutRecord:
    """Offer the candidate to a share of the first ring."""
    return _next(
        record,
        state=RolloutState.OPEN,
        rollout_id=rollout_id,
        ring=ring,
        shares={ring: share},
        opened_at=at,
        enrolled_before=at,
    )


def open_wider(
    record: RolloutRecord, *, rings: Iterable[int], traffic_percent: int, at: datetime
) -> RolloutRecord:
    """Offer the candidate to all of `rings`, and to some of the cloud's callers."""
    shares = {**record.shares, **dict.fromkeys(rings, WHOLE_RING)}
    return _next(
        record,
        state=RolloutState.OPEN,
        ring=max(shares),
        shares=shares,
        opened_at=at,
        enrolled_before=None,
        traffic_percent=traffic_percent,
    )


def finish(record: RolloutRecord) -> RolloutRecord:
    """Make the candidate what everybody runs."""
    former = record.stable if record.stable is not None else record.former
    return _next(
        record,
        state=RolloutState.FINISHED,
        candidate=None,
        stable=record.candidate,
        former=former,
        shares={},
        traffic_percent=ALL_TRAFFIC,
        reason="",
    )


def halt(record: RolloutRecord, *, reason: str) -> RolloutRecord:
    """Stop opening wider; who runs the candidate keeps it.

    Raises:
        ConflictError: There is nothing to halt.
    """
    _need_candidate(record, "halt")
    if record.state is RolloutState.HALTED:
        raise ConflictError(f"the rollout {record.rollout_id} is halted already")
    return _next(record, state=RolloutState.HALTED, reason=reason)


def resume(record: RolloutRecord, *, at: datetime) -> RolloutRecord:
    """Go on with a halted rollout; the open ring soaks anew.

    Raises:
        ConflictError: It is not halted.
    """
    _need_candidate(record, "open")
    if record.state is not RolloutState.HALTED:
        raise ConflictError(
            f"the rollout {record.rollout_id} is {record.state}, not halted; it opens "
            f"wider by itself when its gate passes"
        )
    state = RolloutState.OPEN if record.shares else RolloutState.WAITING
    return _next(record, state=state, opened_at=at, resumed_at=at, reason="")


def withdraw(record: RolloutRecord, release: Release, *, reason: str) -> RolloutRecord:
    """Take `release` back for ever.

    The candidate is offered no longer; the stable release gives way to the
    former one; the former one is no longer kept to go back to.

    Raises:
        ConflictError: It is not offered, or nothing is left to go back to.
    """
    if record.candidate is not None and release == record.candidate.release:
        return _without_candidate(record, release, reason)
    if record.stable is not None and release == record.stable.release:
        return _without_stable(record, release, reason)
    if record.former is not None and release == record.former.release:
        withdrawn = (*record.withdrawn, release)
        return _next(record, former=None, withdrawn=withdrawn, reason=reason)
    offered = ", ".join(map(str, record.offered)) or "nothing"
    was = "was withdrawn already" if release in record.withdrawn else "is not offered"
    raise ConflictError(f"{release} {was}; {record.model} offers {offered}")


def _without_candidate(
    record: RolloutRecord, release: Release, reason: str
) -> RolloutRecord:
    return _next(
        record,
        state=RolloutState.WITHDRAWN,
        candidate=None,
        shares={},
        traffic_percent=0,
        withdrawn=(*record.withdrawn, release),
        reason=reason,
    )


def _without_stable(
    record: RolloutRecord, release: Release, reason: str
) -> RolloutRecord:
    if record.former is None:
        raise ConflictError(
            f"{release} has no release before it to go back to; push a better one, or "
            f"halt the rollout"
        )
    # A held gateway keeps what it has, so a halted rollout ends here: everybody
    # must listen again. Its candidate was not withdrawn and may begin anew.
    is_over = record.is_over or record.state is RolloutState.HALTED
    return _next(
        record,
        state=RolloutState.WITHDRAWN if is_over else record.state,
        candidate=None if is_over else record.candidate,
        shares={} if is_over else record.shares,
        traffic_percent=0 if is_over else record.traffic_percent,
        stable=record.former,
        former=None,
        withdrawn=(*record.withdrawn, release),
        reason=reason,
    )


def mark_published(record: RolloutRecord) -> RolloutRecord:
    """Note that the document of this very sequence was signed."""
    return replace(record, published_sequence=record.sequence)


def document_from(record: RolloutRecord) -> RolloutDocument:
    """Write what the devices may know of the record."""
    is_running = record.candidate is not None
    return RolloutDocument(
        model=record.model,
        sequence=record.sequence,
        stable=record.stable,
        candidate=record.candidate,
        rollout_id=record.rollout_id if is_running else "",
        shares=dict(record.shares),
        enrolled_before=record.enrolled_before if is_running else None,
        withdrawn=record.withdrawn,
        is_held=record.state is RolloutState.HALTED,
    )


def _need_candidate(record: RolloutRecord, verb: str) -> None:
    if record.candidate is None:
        raise ConflictError(
            f"there is nothing to {verb}: {record.model} has no rollout under way, the "
            f"last one is {record.state}"
        )


def _next(record: RolloutRecord, **changes: object) -> RolloutRecord:
    return replace(record, sequence=record.sequence + 1, **changes)  # type: ignore[arg-type]  # replace() is typed for any field
