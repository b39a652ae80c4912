"""Decide what the serving endpoint answers with while a rollout goes on.

Pure. The split follows the rollout record: callers of the cloud meet the
candidate when ring 1 opens, never before, and leave it when devices must.
"""

from collections.abc import Collection, Mapping

from functions.release.rollout import ALL_TRAFFIC, RolloutRecord
from packhorse.names import Release

FIRST_PERCENT = 5
"""What the candidate gets when it first meets live callers."""


def opening_percent(record: RolloutRecord, *, is_stable_served: bool) -> int:
    """Say what the candidate gets when ring 1 opens.

    Where nothing else could answer, it gets everything.
    """
    if record.stable is None or not is_stable_served:
        return ALL_TRAFFIC
    return max(FIRST_PERCENT, record.traffic_percent)


def wanted_split(
    record: RolloutRecord, served: Collection[Release]
) -> Mapping[Release, int]:
    """Say which release answers which percentage of the serving endpoint's calls.

    Args:
        record: What the rollout wants.
        served: The releases that are deployed on the endpoint.

    Returns:
        Percentages that sum to 100; empty when nothing that is served may answer.
    """
    stable = record.stable.release if record.stable is not None else None
    candidate = record.candidate.release if record.candidate is not None else None
    percent = record.traffic_percent if candidate in served else 0
    if stable not in served and percent > 0:
        percent = ALL_TRAFFIC
    split = {candidate: percent, stable: ALL_TRAFFIC - percent}
    return {
        release: share
        for release, share in split.items()
        if release is not None and release in served and share > 0
    }


def unneeded(record: RolloutRecord, served: Collection[Release]) -> tuple[Release, ...]:
    """Name the releases on the endpoint that no answer and no way back needs."""
    return tuple(sorted(set(served) - set(record.offered)))
