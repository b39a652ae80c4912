"""Compare a candidate with the active release on requests that really came.

The candidate answers them again, where nobody sees it. Whatever its owner says, it
must not fail, take for ever, or answer NaN or infinity where the active release
answered with numbers. How often both agree, and how much longer it takes, is
measured and told; it refuses the release where a limit says so.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.agent.trial.race import Race, Run
from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.live_requests import LiveRequest
from packhorse.comparison import (
    are_scores,
    compare_outputs,
    count_flips,
    is_finite,
    is_float,
)
from packhorse.inference.signature import Arrays
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import DEFAULT_TOLERANCE, Tolerance


@dataclass(frozen=True, slots=True)
class Shadow:
    """What became of the live requests.

    Attributes:
        reason: Why the candidate must be refused, a sentence; empty if it need not.
        measures: Numbers for the report.
    """

    reason: str
    measures: Mapping[str, float]


class ShadowRun:
    """Counts what a candidate makes of live requests.

    Attributes:
        count: Requests that it was given.
    """

    def __init__(
        self, run: Run, tolerances: Mapping[str, Tolerance], race: Race | None = None
    ) -> None:
        """Ask `run`, and time it in `race` against the active release."""
        self.count = 0
        self._run = run
        self._tolerances = tolerances
        self._race = race
        self._failed = self._late = self._agreeing = 0
        self._broken: Counter[str] = Counter()
        self._differing: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        """Whether the candidate must be refused, whatever comes."""
        return bool(self._failed or self._late or self._broken)

    def answer(self, request: LiveRequest) -> None:
        """Answer one request with the candidate and compare."""
        self.count += 1
        names = list(request.outputs)
        try:
            got = self._run(request.inputs, names)
        except OverrunError:
            self._late += 1
            return
        except ModelError:
            self._failed += 1
            return
        if self._race is not None:
            self._race.enter(request.inputs, names)
        broken = [n for n, a in request.outputs.items() if _breaks(a, got.get(n))]
        differing = [n for n, a in request.outputs.items() if self._differs(n, a, got)]
        self._broken.update(broken)
        self._differing.update(differing)
        self._agreeing += not broken and not differing

    def result(self, limits: ShadowLimits) -> Shadow:
        """Judge what was seen."""
        measures: dict[str, float] = {"shadow_requests": float(self.count)}
        if self.count:
            measures["shadow_agreement"] = self._agreeing / self.count
        if self._race is not None:
            measures |= self._race.measures()
        reasons = [*self._faults(), *self._judge(limits, measures)]
        return Shadow("; ".join(reasons), measures)

    def _faults(self) -> list[str]:
        """Say what no release may do."""
        count = self.count
        reasons = [
            f"output {name!r} was not finite (NaN or infinity) on {times} of {count}"
            " live requests that the active release answered with finite numbers"
            for name, times in sorted(self._broken.items())
        ]
        if self._failed:
            reasons.append(f"{self._failed} of {count} live requests could not be run")
        if self._late:
            reasons.append(f"{self._late} of {count} live requests took too long")
        return reasons

    def _judge(self, limits: ShadowLimits, measures: Mapping[str, float]) -> list[str]:
        """Hold the measures to the limits, where enough was seen."""
        if self.count < limits.min_requests:
            return []
        reasons = []
        least, share = limits.min_agreement, measures["shadow_agreement"]
        if least is not None and share < least:
            reasons.append(
                f"of {self.count} live requests {share:.1%} were answered as the active"
                f" release did, expected at least {least:.1%}{self._worst()}"
            )
        most, ratio = limits.max_latency_ratio, measures.get("latency_ratio", 0.0)
        if most is not None and ratio > most:
            reasons.append(
                f"it took {ratio:.3g} times as long as the active release on live"
                f" requests, expected at most {most:g} times"
            )
        return reasons

    def _worst(self) -> str:
        if not self._differing:
            return ""
        name, times = self._differing.most_common(1)[0]
        return f" (output {name!r} differed on {times})"

    def _differs(self, name: str, expected: np.ndarray, got: Arrays) -> bool:
        """Compare scores by who wins on the last axis, all else by its values.

        The manifest's tolerances are for golden samples, where the right answer is
        known: of scores they say here only how close two may be.
        """
        array = got.get(name)
        if array is None or array.shape != expected.shape:
            return True
        tolerance = self._tolerances.get(name, DEFAULT_TOLERANCE)
        if are_scores(expected):
            return count_flips(expected, array, tolerance.argmax_margin or 0.0) > 0
        comparison = compare_outputs({name: expected}, {name: array}, self._tolerances)
        return not comparison.agrees


def _breaks(expected: np.ndarray, got: np.ndarray | None) -> bool:
    """Say whether a number that was finite is not any more."""
    if got is None or is_finite(got):
        return False
    if not is_float(expected):
        return True
    if got.shape != expected.shape:
        return is_finite(expected)
    return bool((np.isfinite(expected) & ~np.isfinite(got)).any())
