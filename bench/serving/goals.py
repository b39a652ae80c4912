"""What must be reached, and whether a run of the ring reached it.

A ratio is taken within each round, where both servers met the same machine; the
median of the rounds counts. CPU times shown are the least of the rounds.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.serving.entrants import (
    FASTAPI,
    LITSERVE,
    MLSERVER,
    OURS,
    TRITON,
    TRITON_BATCHING,
    UNBATCHED,
    VERTEX,
)
from bench.serving.results import Results
from bench.serving.ring import SESSION

MEMORY_MAX_MIB = 65.0
START_MAX_S = 0.4

MISSING = "-"
"""What stands where nothing was measured."""

_LEAST_US = 0.01
"""What is left over the bare run is never less, so that a ratio exists."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times less than a peer we must cost.

    Attributes:
        what: For the table.
        times: The peer's measure over ours must be this at least.
        cell: Our load; `peer_cell` is the peer's where that is another.
        measure: A field of `Window`, in µs.
        is_over_run: Count only what comes on top of the bare `session.run`.
    """

    what: str
    times: float
    cell: str
    peer: str
    measure: str = "cpu_us"
    peer_cell: str = ""
    is_over_run: bool = False


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much we may need at most, by our starts."""

    what: str
    at_most: float
    measure: str
    unit: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table.

    Attributes:
        is_reached: None where this run did not measure it.
    """

    what: str
    must: str
    ours: str
    peer: str
    ratio: str
    is_reached: bool | None


_S = "S, JSON, 32 connections, CPU"
_VARIED = "S, JSON, no two requests alike, CPU"
_P50 = "S, JSON, 1 connection, p50"
_P50_AWAKE = "S, JSON, 1 connection, cores kept awake, p50"
_T_BINARY = "T, binary, CPU"
_T_JSON = "T, JSON, CPU"
_T_INSTANCES = "T, instances, CPU"
_M = "M, JSON, CPU over the bare session.run"
_W = "W, binary, 32 connections, CPU"

RATIOS = (
    Ratio(_S, 5, "s_json", TRITON),
    Ratio(_S, 13, "s_json", MLSERVER),
    Ratio(_S, 10, "s_json", FASTAPI),
    Ratio(_S, 35, "s_json", LITSERVE),
    Ratio(_VARIED, 5, "s_varied", TRITON),
    Ratio(_VARIED, 13, "s_varied", MLSERVER),
    Ratio(_VARIED, 10, "s_varied", FASTAPI),
    Ratio(_VARIED, 35, "s_varied", LITSERVE),
    Ratio(_P50, 4, "s_one", TRITON, "p50_us"),
    Ratio(_P50_AWAKE, 4, "s_one_awake", TRITON, "p50_us"),
    Ratio(_T_BINARY, 5, "t_binary", TRITON),
    Ratio(_T_JSON, 2.5, "t_json", TRITON),
    Ratio(_T_JSON, 6, "t_json", VERTEX),
    Ratio(_T_INSTANCES, 2.5, "t_instances", TRITON, peer_cell="t_json"),
    Ratio(_T_INSTANCES, 6, "t_instances", VERTEX),
    Ratio(_M, 2, "m_json", TRITON, is_over_run=True),
    Ratio(_W, 3, "w_binary", UNBATCHED),
    Ratio(_W, 5, "w_binary", TRITON),
    # Five times less than this would be less than the model's own run in a batch.
    Ratio(_W, 1, "w_binary", TRITON_BATCHING),
)

CEILINGS = (
    Ceiling("S, memory", MEMORY_MAX_MIB, "memory_mib", "MiB"),
    Ceiling("start to first right answer, CPU", START_MAX_S, "cpu_s", "s"),
)


def judge(results: Results) -> list[Verdict]:
    """Compare a run with everything that must be reached."""
    ratios = [_judge_ratio(results, ratio) for ratio in RATIOS]
    return ratios + [_judge_ceiling(results, ceiling) for ceiling in CEILINGS]


def ratio_of(results: Results, goal: Ratio) -> float | None:
    """Return how many times less we cost, None where either is missing."""
    ours = _by_round(results, goal, goal.cell, OURS)
    theirs = _by_round(results, goal, goal.peer_cell or goal.cell, goal.peer)
    ratios = [theirs[number] / ours[number] for number in ours if number in theirs]
    return statistics.median(ratios) if ratios else None


def _judge_ratio(results: Results, goal: Ratio) -> Verdict:
    ratio = ratio_of(results, goal)
    ours = _by_round(results, goal, goal.cell, OURS)
    theirs = _by_round(results, goal, goal.peer_cell or goal.cell, goal.peer)
    return Verdict(
        what=goal.what,
        must=f"≥ {goal.times:g}x less than {goal.peer}",
        ours=_time(list(ours.values())),
        peer=_time(list(theirs.values())),
        ratio=MISSING if ratio is None else f"{ratio:.1f}x",
        is_reached=None if ratio is None else ratio >= goal.times,
    )


def _judge_ceiling(results: Results, goal: Ceiling) -> Verdict:
    value = results.least_start(OURS, goal.measure)
    triton = results.least_start(TRITON, goal.measure)
    return Verdict(
        what=goal.what,
        must=f"≤ {goal.at_most:g} {goal.unit}",
        ours=_amount(value, goal.unit),
        peer=_amount(triton, goal.unit),
        ratio=MISSING if value is None or triton is None else f"{triton / value:.1f}x",
        is_reached=None if value is None else value <= goal.at_most,
    )


def _by_round(
    results: Results, goal: Ratio, cell: str, entrant: str
) -> dict[int, float]:
    values = results.by_round(cell, entrant, goal.measure)
    if not goal.is_over_run:
        return values
    runs = results.by_round(cell, SESSION, "cpu_us")
    return {
        number: max(value - runs[number], _LEAST_US)
        for number, value in values.items()
        if number in runs
    }


def _time(values: Sequence[float]) -> str:
    return time_text(min(values, default=None))


def time_text(value_us: float | None) -> str:
    """Write a time for people, in µs or ms."""
    if value_us is None:
        return MISSING
    if value_us < 1000:  # noqa: PLR2004 - µs in a ms
        return f"{value_us:.0f} µs" if value_us >= 100 else f"{value_us:.1f} µs"  # noqa: PLR2004
    return f"{value_us / 1000:.2f} ms"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return MISSING
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004
