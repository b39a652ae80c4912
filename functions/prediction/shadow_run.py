"""One live request, as its candidate answers it: asked, timed, compared.

What a run finds is one of these words, each of them counted:

    done              both answered, and were compared
    failed            the candidate gave no answer, or refused for load
    late              it gave none within the limit
    frozen            the same, but this process stood still meanwhile
    nothing_deployed  the endpoint has nothing that could answer
    same_release      the candidate is what answered live
    unknown_release   nobody knows which release one of the two was
    no_live_answer    the live call gave nothing that could be compared
    too_large         the live answer is longer than what may be held
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from functions.adapters.upstream.client import Answer
from functions.errors import CloudError
from functions.prediction.candidates import (
    ANSWER_MAX_BYTES,
    Candidates,
    has_nothing_deployed,
)
from functions.prediction.comparing import Comparer
from functions.prediction.wakefulness import LATE_S, Wakefulness, is_worth_telling
from functions.prediction.whose import Whose
from functions.setting_values import EndpointSettings
from packhorse.errors import PackhorseError

if TYPE_CHECKING:
    from functions.prediction.shadow_comparison import Agreement

LIMIT_S = 5.0
"""How long a run goes on beside other requests once the live answer is there."""

_MORE_S = 1.0
"""And so much longer when this process has just stood still."""

_FOR_LOAD = frozenset({401, 408, 429, 502, 503, 504})
"""Says something of the endpoint, and nothing of the release."""

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to the candidate.

    Attributes:
        content_type: As it goes upstream.
    """

    model: str
    endpoint: EndpointSettings
    body: bytes
    content_type: str
    whose: Whose


class Live(NamedTuple):
    """What answered the caller."""

    answer: Answer
    release: str
    took_s: float


@dataclass(slots=True)
class Found:
    """What a run found.

    Attributes:
        outcome: One of the words above.
        reason: Why there is no answer, in a sentence.
        shadow_s: None where it is not known how long the candidate took.
    """

    outcome: str = ""
    reason: str = ""
    live_release: str = ""
    candidate_release: str = ""
    agreement: "Agreement | None" = None
    live_s: float = 0.0
    shadow_s: float | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run uses."""

    candidates: Candidates
    comparer: Comparer
    wakefulness: Wakefulness


class ShadowRun:
    """A run under way.

    Attributes:
        held_bytes: Memory that it keeps alive, of bodies.
    """

    def __init__(
        self,
        tools: Tools,
        request: Request,
        *,
        deadline: float,
        on_end: "Callable[[ShadowRun, Request, Found], None]",
    ) -> None:
        """Begin beside the live call, whose deadline this is."""
        self._loop = asyncio.get_running_loop()
        self._tools = tools
        self._request = request
        self._on_end = on_end
        self._found = Found()
        self._live: asyncio.Future[Live] = self._loop.create_future()
        self.held_bytes = len(request.body)
        self._timer = self._loop.call_at(deadline + LIMIT_S, self._give_up)
        self._away_s = tools.wakefulness.away_s()
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def end(self) -> "asyncio.Task[None]":
        """Return what is done once this run is."""
        return self._task

    def compare_with(self, answer: Answer, release: str, live_s: float) -> None:
        """Hand over what the caller got; returns at once."""
        if self._task.done() or self._live.done():
            return
        if answer.status >= _SERVER_ERROR or answer.status in _FOR_LOAD:
            self.forget()
        elif len(answer.body) > ANSWER_MAX_BYTES:
            self._end("too_large")
        else:
            self.held_bytes += len(answer.body)
            self._found.live_release, self._found.live_s = release, live_s
            self._live.set_result(Live(answer, release, live_s))
            self._set_limit(LIMIT_S)

    def forget(self) -> None:
        """End: the live call failed, so there is nothing to compare."""
        self._end("no_live_answer")

    async def _run(self) -> None:
        answer = await self._ask()
        live = await self._live
        if answer is None:
            return
        if has_nothing_deployed(answer):
            self._found.outcome = "nothing_deployed"
        elif answer.status in _FOR_LOAD:
            self._found.outcome = "failed"
            self._found.reason = f"it answered {answer.status}"
        else:
            await self._judge(live, answer)

    async def _ask(self) -> Answer | None:
        request, wakefulness = self._request, self._tools.wakefulness
        with wakefulness.watched():
            began_s = self._loop.time()
            try:
                answer = await self._tools.candidates.ask(
                    request.endpoint,
                    request.body,
                    request.content_type,
                    deadline=began_s + request.endpoint.timeout_s,
                )
            except (CloudError, PackhorseError) as error:
                self._found.outcome = "frozen" if self._stood_still() else "failed"
                self._found.reason = str(error)
                return None
            took_s = self._loop.time() - began_s
            away_s = wakefulness.away_s() - self._away_s
        self.held_bytes += len(answer.body)
        if is_worth_telling(took_s, away_s):
            self._found.shadow_s = took_s
        return answer

    async def _judge(self, live: Live, answer: Answer) -> None:
        found, request = self._found, self._request
        found.candidate_release = await self._tools.candidates.release_of(
            request.endpoint, answer, deadline=self._loop.time() + LIMIT_S
        )
        if not (live.release and found.candidate_release):
            found.outcome = "unknown_release"
        elif live.release == found.candidate_release:
            found.outcome = "same_release"
        else:
            found.agreement = await self._tools.comparer.compare(
                request.model, live.answer, answer
            )
            found.outcome = "done"

    def _set_limit(self, limit_s: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(limit_s, self._give_up)

    def _give_up(self) -> None:
        """End what took too long; after a standstill it gets a little more time."""
        if not self._live.done():
            self.forget()
        elif not self._stood_still():
            self._end("late")
        elif self._found.outcome != "frozen":
            self._found.outcome = "frozen"
            self._set_limit(_MORE_S)
        else:
            self._end("frozen")

    def _stood_still(self) -> bool:
        return self._tools.wakefulness.away_s() - self._away_s > LATE_S

    def _end(self, outcome: str) -> None:
        if not self._task.done():
            self._found.outcome = outcome
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._timer.cancel()
        self._live.cancel()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nobody waits for the task, and the request is long answered.
            self._found.outcome = "crashed"
            self._found.reason = type(error).__name__
        self._on_end(self, self._request, self._found)
