"""Send a share of the live requests to the candidate too, and compare the answers.

A run begins together with the live call and never delays or fails it. When the
live answer is there first, the run goes on beside other requests, for a few
seconds at most. The candidate is asked once: no retries, no circuit, and nothing
of it counts in the live traffic's budgets. How many runs are under way, and what
memory they hold, is bounded; beyond that a request is not sampled, and counted.

Nothing is shadowed for a while where the candidate endpoint has nothing deployed,
or serves time and again the very release that answers live.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping

from functions.prediction.candidates import CONNECTIONS_MAX
from functions.prediction.shadow_export import Note, ShadowExport
from functions.prediction.shadow_run import Found, Request, ShadowRun, Tools
from functions.prediction.shadow_sums import ShadowSums
from functions.prediction.whose import NOBODY, Whose
from functions.release.shadows import ShadowCounts
from functions.setting_values import PredictedModel
from packhorse.errors import MalformedError
from packhorse.names import parse_release

RUNS_MAX = CONNECTIONS_MAX
"""A run that waits for a connection would be timed wrongly."""

HELD_MAX_BYTES = 24 * 1024**2
"""Of an instance of 256 MiB; a run holds the request and, at its end, two answers."""

PAUSE_S = 60.0
"""For so long nothing is asked of an endpoint that cannot be compared with."""

SAME_MAX = 8
"""So often in a row: while traffic is split, some live answers are the candidate's."""

TOLD_EVERY_S = 30.0


class Shadow:
    """Every run of this process; belongs to the running loop.

    Attributes:
        counts: What became of the requests that were drawn: the outcomes of runs,
            and `busy`, `full`, `paused` and `too_long` for those that began none.
    """

    def __init__(
        self,
        tools: Tools,
        sums: ShadowSums,
        export: ShadowExport | None,
        note: Note,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Start with no run.

        Args:
            tools: What asks, times and compares.
            sums: Where comparisons add up.
            export: Reports the sums; None where there is nobody to report to.
            note: Writes a log line: an event and its fields.
            draw: Returns a number in [0, 1).
        """
        self._loop = asyncio.get_running_loop()
        self._tools = tools
        self._sums = sums
        self._export = export
        self._note = note
        self._draw = draw
        self._runs: set[ShadowRun] = set()
        self._paused_until_s: dict[str, float] = {}
        self._same: Counter[str] = Counter()
        self._candidate: dict[str, str] = {}
        self._told: Mapping[str, int] = {}
        self._tell_at_s = 0.0
        self.counts: Counter[str] = Counter()

    def begin(
        self,
        model: PredictedModel,
        body: bytes,
        content_type: str,
        *,
        deadline: float,
        whose: Whose = NOBODY,
    ) -> ShadowRun | None:
        """Begin a run beside the live call; None where this request has none.

        Args:
            model: Whose candidate is asked.
            body: As it goes upstream.
            content_type: As it goes upstream.
            deadline: Of the live call, in the loop's clock.
            whose: Whose request it is, for the log.
        """
        if model.candidate is None or not model.shadow_share:
            return None
        if self._export is not None:
            self._export.begin_if_due()
        if self._draw() >= model.shadow_share:
            return None
        request = Request(model.name, model.candidate, body, content_type, whose)
        if why := self._obstacle(request):
            self.counts[why] += 1
            return None
        run = ShadowRun(self._tools, request, deadline=deadline, on_end=self._ended)
        self._runs.add(run)
        return run

    async def drain(self, *, deadline: float) -> None:
        """Wait for what is under way, as this process ends, and report the rest."""
        waits = [run.end for run in self._runs]
        if waits:
            left_s = deadline - self._loop.time()
            await asyncio.wait(waits, timeout=max(0.0, left_s / 2))
        if self._export is not None:
            await self._export.flush(deadline=deadline)

    def _obstacle(self, request: Request) -> str:
        if self._loop.time() < self._paused_until_s.get(request.model, 0.0):
            return "paused"
        if len(request.body) > request.endpoint.request_max_bytes:
            return "too_long"
        if len(self._runs) >= RUNS_MAX:
            return "busy"
        held = sum(run.held_bytes for run in self._runs)
        return "full" if held + len(request.body) > HELD_MAX_BYTES else ""

    def _ended(self, run: ShadowRun, request: Request, found: Found) -> None:
        self._runs.discard(run)
        self.counts[found.outcome] += 1
        if found.outcome == "nothing_deployed":
            self._pause(request.model)
        elif found.outcome == "same_release":
            self._same[request.model] += 1
            if self._same[request.model] >= SAME_MAX:
                self._pause(request.model)
        elif found.outcome in {"done", "failed", "late", "crashed"}:
            self._take(request, found)
        self._tell()

    def _pause(self, model: str) -> None:
        self._paused_until_s[model] = self._loop.time() + PAUSE_S

    def _take(self, request: Request, found: Found) -> None:
        model = request.model
        if found.candidate_release:
            self._same[model] = 0
            self._candidate[model] = found.candidate_release
        candidate = found.candidate_release or self._candidate.get(model, "")
        if found.live_release and candidate and found.outcome != "crashed":
            self._add(found.live_release, candidate, found)
        self._note(f"shadow {found.outcome}", _fields(request, found))

    def _add(self, live: str, candidate: str, found: Found) -> None:
        try:
            pair = parse_release(live), parse_release(candidate)
        except MalformedError:
            self.counts["unknown_release"] += 1
            return
        if pair[0].model == pair[1].model and pair[0] != pair[1]:
            self._sums.add(*pair, _counts(found))

    def _tell(self) -> None:
        """Write now and then what became of the requests that were drawn."""
        now_s = self._loop.time()
        if now_s >= self._tell_at_s and self.counts != self._told:
            self._tell_at_s = now_s + TOLD_EVERY_S
            self._told = dict(self.counts)
            self._note("shadow counts", {"counts": self._told})


def _counts(found: Found) -> ShadowCounts:
    agreement = found.agreement
    if agreement is None:
        return ShadowCounts(failed=1)
    is_timed = found.shadow_s is not None
    return ShadowCounts(
        agreed=int(agreement.agrees),
        differed=int(not agreement.agrees),
        timed=int(is_timed),
        live_s=found.live_s if is_timed else 0.0,
        shadow_s=found.shadow_s or 0.0,
        reason=agreement.reason,
    )


def _fields(request: Request, found: Found) -> dict[str, object]:
    shadow_s, agreement = found.shadow_s, found.agreement
    fields: dict[str, object] = {
        "model": request.model,
        "live_release": found.live_release,
        "candidate_release": found.candidate_release,
        "live_ms": round(found.live_s * 1000, 3),
        "shadow_ms": None if shadow_s is None else round(shadow_s * 1000, 3),
        "request_id": request.whose.request_id,
        "trace": request.whose.trace.trace_id,
        "reason": found.reason,
    }
    if agreement is not None:
        fields["agrees"] = agreement.agrees
        fields["reason"] = agreement.reason
        fields["largest_difference"] = agreement.largest_difference
    return fields
