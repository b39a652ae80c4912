"""Decide how far a release may travel.

`advance_rollout.py` reads the counts, asks here, and carries the answer out.
The promise this module keeps: the first ring of a rollout admits at most
`fleet_share` of all devices, or one, until they have answered for the release.

Source: docs/adr/0004-rings-and-gates.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from math import floor

from functions.errors import RolloutError
from functions.release.rollout import (
    WHOLE_RING,
    RolloutRecord,
    RolloutState,
)
from functions.release.shadows import (
    STANDARD,
    ShadowCounts,
    ShadowGate,
    shadow_objection,
)
from packhorse.assignment import device_position

ROLLOUT_ID_TRIES = 16
"""Ids tried until one device stands alone in front; one try fails once in 10,000."""


class Decision(Enum):
    """What to do with a rollout now."""

    WAIT = "wait"
    OPEN_FIRST = "open_first"
    OPEN_NEXT = "open_next"
    FINISH = "finish"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Gate:
    """What a ring must show before the next one opens.

    Attributes:
        min_success_ratio: Successes over devices offered, in (0, 1].
        soak_s: Time a ring must have been open, in seconds.
        patience_s: Time after which devices that stay silent are passed over,
            if others succeeded and none failed, in seconds.
        fleet_share: Share of the fleet that the first ring may admit, in (0, 1].
        shadow: What the candidate must show on the cloud's live requests.
    """

    min_success_ratio: float
    soak_s: float
    patience_s: float
    fleet_share: float
    shadow: ShadowGate = STANDARD

    def __post_init__(self) -> None:
        """Refuse a gate that cannot hold anything back."""
        if not (0 < self.min_success_ratio <= 1 and 0 < self.fleet_share <= 1):
            raise RolloutError(f"a gate's ratio and share lie in (0, 1]: {self}")
        if not 0 <= self.soak_s <= self.patience_s:
            raise RolloutError(f"a gate's patience is no shorter than its soak: {self}")


@dataclass(frozen=True, slots=True)
class RingCounts:
    """What the devices that a ring admits have reported of the candidate.

    Attributes:
        offered: Devices admitted.
        succeeded: Of them, those that serve with it.
        failed: Of them, those that refused it, failed at it or rolled it back;
            a device that did both counts here.
        reason: What one of the failed gave as its reason.
    """

    offered: int
    succeeded: int
    failed: int
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse counts that no set of reports can produce."""
        if min(self.offered, self.succeeded, self.failed) < 0:
            raise RolloutError(f"devices are counted from 0: {self}")
        if self.succeeded + self.failed > self.offered:
            raise RolloutError(f"more reports than devices: {self}")


def decide(
    record: RolloutRecord,
    counts: Mapping[int, RingCounts],
    gate: Gate,
    *,
    rings: Sequence[int],
    now: datetime,
) -> Decision:
    """Apply the gate to what the open rings reported.

    Failures are looked at first, so a bad release is withdrawn during its soak,
    and even while people have halted it.

    Args:
        record: The rollout.
        counts: What each open ring reported.
        gate: What they must show.
        rings: Every ring that has devices, in order.
        now: Compared with the moment the last ring opened.
    """
    if record.is_over:
        return Decision.WAIT
    if any(_is_hopeless(ring, gate) for ring in counts.values()):
        return Decision.WITHDRAW
    if record.state is RolloutState.HALTED:
        return Decision.WAIT
    if record.state is RolloutState.WAITING:
        # A fleet without devices cannot be asked: the parity that the candidate
        # endpoint held is all there is.
        return Decision.OPEN_FIRST if rings else Decision.FINISH
    open_for_s = (now - record.opened_at).total_seconds()
    if not _passes(record.ring, counts, gate, open_for_s=open_for_s):
        return Decision.WAIT
    return Decision.OPEN_NEXT if rings_to_open(record, rings) else Decision.FINISH


def _is_hopeless(ring: RingCounts, gate: Gate) -> bool:
    """Tell whether the ring misses the ratio even if every silent device succeeds."""
    return ring.failed > 0 and (
        (ring.offered - ring.failed) / ring.offered < gate.min_success_ratio
    )


def _passes(
    ring: int, counts: Mapping[int, RingCounts], gate: Gate, *, open_for_s: float
) -> bool:
    succeeded = sum(each.succeeded for each in counts.values())
    failed = sum(each.failed for each in counts.values())
    if open_for_s < gate.soak_s or succeeded == 0:
        return False
    asked = counts.get(ring, RingCounts(0, 0, 0))
    if asked.succeeded >= gate.min_success_ratio * asked.offered:
        return True
    return open_for_s >= gate.patience_s and failed == 0


def rings_to_open(record: RolloutRecord, rings: Sequence[int]) -> tuple[int, ...]:
    """Name the rings that open whole with the next step, none after the last.

    The next ring opens, and what the first one kept back opens with it.
    """
    above = [ring for ring in sorted(rings) if ring > record.ring]
    upto = above[0] if above else record.ring
    return tuple(
        ring
        for ring in sorted(rings)
        if ring <= upto and record.shares.get(ring, 0) < WHOLE_RING
    )


def limit_devices(fleet: int, gate: Gate) -> int:
    """Say how many devices the first ring may admit."""
    return max(1, floor(gate.fleet_share * fleet))


def widest_share(devices: Sequence[str], rollout_id: str, limit_devices: int) -> int:
    """Choose the widest share that admits at most `limit_devices` of a ring.

    Counted device by device, since a share is a promise about hashes and a ring
    may be small.

    Returns:
        A share in 0..10000.
    """
    positions = sorted(device_position(rollout_id, device) for device in devices)
    if len(positions) <= limit_devices:
        return WHOLE_RING
    return positions[limit_devices]


def first_share(
    devices: Sequence[str], rollout_id: str, limit_devices: int
) -> tuple[str, int]:
    """Choose the id and the share with which a rollout's first ring opens.

    Two devices may share the foremost position; then no share admits one of them
    alone, and another id deals the positions anew. Nobody has seen the id yet.

    Returns:
        The rollout's id, and a share that admits at least one device.

    Raises:
        RolloutError: No id did.
    """
    for attempt in range(ROLLOUT_ID_TRIES):
        salted = rollout_id if attempt == 0 else f"{rollout_id}-{attempt}"
        share = widest_share(devices, salted, limit_devices)
        if any(device_position(salted, device) < share for device in devices):
            return salted, share
    raise RolloutError(
        f"no share of a ring of {len(devices)} admits 1 to {limit_devices} devices"
    )


def shadow_obstacle(record: RolloutRecord, counts: ShadowCounts, gate: Gate) -> str:
    """Say why shadow runs halt a rollout; empty where they do not.

    Args:
        record: The rollout.
        counts: What they found since a person resumed it last.
        gate: What they must show.
    """
    if record.is_over or record.state is RolloutState.HALTED:
        return ""
    objection = shadow_objection(counts, gate.shadow)
    return f"shadow runs: {objection}" if objection else ""


def failure_reason(record: RolloutRecord, counts: Mapping[int, RingCounts]) -> str:
    """Say why the candidate is withdrawn."""
    ring, worst = max(counts.items(), key=lambda item: item[1].failed)
    release = "" if record.candidate is None else f" {record.candidate.release}"
    said = f": {worst.reason}" if worst.reason else ""
    return (
        f"{worst.failed} of {worst.offered} devices in ring {ring} could not "
        f"serve{release}{said}"
    )
