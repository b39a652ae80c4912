"""Ask an endpoint for one prediction, and again where that may help.

Every try is one request upstream with the time that is left, and nothing begins that
could not end. The last answer with a status goes back as it is, a 503 too: what
upstream says is truer than what could be said of it here. Only where no try brought
an answer is an error raised.

A new token after a 401 is no retry: it mends what was wrong with the first request.
"""

import asyncio
import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.answer import Answer
from functions.adapters.upstream.client import Upstream
from functions.adapters.upstream.origin import Origin, parse_origin
from functions.errors import (
    BrokenAnswerError,
    CloudError,
    LateAnswerError,
    NotSentError,
    UpstreamRefusedError,
)
from functions.prediction.circuit import Circuits, Permit
from functions.prediction.retries import (
    TRIES_MAX,
    TRY_LEAST_S,
    Budget,
    is_retried,
    pause_s,
    retry_after_s,
)
from functions.setting_values import EndpointSettings

_UNAUTHORISED = 401
_MODEL_ID = "x-vertex-ai-deployed-model-id"
_MODEL_ID_MAX = 256
"""Characters; Vertex AI's have 20, and more of it would stand in each line of log."""


@dataclass(slots=True)
class Spent:
    """What a call has cost so far; true also where it ends in an error.

    Attributes:
        tries: Requests sent upstream, one with a new token included.
        upstream_s: Time of the last of them.
    """

    tries: int = 0
    upstream_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a call, whatever its status.

    Attributes:
        tries: Requests sent upstream, one with a new token included.
        upstream_s: Time of the last of them.
    """

    answer: Answer
    tries: int
    upstream_s: float

    @property
    def deployed_model_id(self) -> str:
        """Who answered; empty where the answer does not say."""
        return _deployed_model_id(self.answer)


@dataclass(slots=True)
class _Call:
    """One caller's request, and what it came to so far.

    Attributes:
        last: The last answer with a status; None before the first.
    """

    endpoint: EndpointSettings
    body: bytes
    content_type: bytes
    deadline: float
    retries_timeouts: bool
    spent: Spent
    last: Answer | None = None

    def is_worth_another(self, result: Answer | CloudError) -> bool:
        """Say whether another try may bring more than this one did."""
        if isinstance(result, Answer):
            return is_retried(result.status, retries_timeouts=self.retries_timeouts)
        if isinstance(result, LateAnswerError):
            return self.retries_timeouts
        return isinstance(result, NotSentError)

    def outcome(self) -> Outcome:
        """Return the last answer, of which there is one."""
        assert self.last is not None, "no try brought an answer"  # noqa: S101
        return Outcome(self.last, self.spent.tries, self.spent.upstream_s)


class Attempts:
    """Calls to every endpoint; of one event loop."""

    def __init__(
        self,
        upstream: Upstream,
        token: BearerToken,
        budget: Budget,
        circuits: Circuits,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Begin without a call.

        Args:
            upstream: What sends requests.
            token: What Vertex AI knows this function by.
            budget: How many retries there may be.
            circuits: Who is not to be asked now.
            draw: Gives random numbers in [0, 1), for the pauses.
        """
        self._upstream = upstream
        self._token = token
        self._budget = budget
        self._circuits = circuits
        self._draw = draw

    async def call(  # noqa: PLR0913 - what a call is, most of it by keyword
        self,
        endpoint: EndpointSettings,
        body: bytes,
        content_type: str,
        *,
        deadline: float,
        retries_timeouts: bool,
        spent: Spent | None = None,
    ) -> Outcome:
        """Ask for a prediction until there is an answer to pass on.

        Args:
            endpoint: Who is asked.
            body: Passed on unchanged.
            content_type: Passed on unchanged.
            deadline: In the loop's clock; no pause and no try goes beyond it.
            retries_timeouts: Whether a late answer and a 504 are asked for again.
            spent: Is told of each try, for calls that end in an error.

        Raises:
            CircuitOpenError: The endpoint failed too often just now to be asked.
            NotSentError: It took no connection.
            BrokenAnswerError: What it answered is no answer.
            LateAnswerError: It did not answer in time.
            UpstreamUnavailableError: There is no token.
            UpstreamRefusedError: Vertex AI takes none of our tokens.
        """
        call = _Call(
            endpoint,
            body,
            content_type.encode("latin-1"),
            deadline,
            retries_timeouts,
            Spent() if spent is None else spent,
        )
        self._budget.note_request(endpoint.name)
        retry = 0
        while True:
            try:
                call.last = await self._attempt(call)
            except CloudError as error:
                wait_s = self._pause_s(call, error, retry)
                if wait_s is None and call.last is None:
                    raise
            else:
                wait_s = self._pause_s(call, call.last, retry)
            if wait_s is None:
                return call.outcome()
            await asyncio.sleep(wait_s)
            retry += 1

    async def _attempt(self, call: _Call) -> Answer:
        permit = self._circuits.admit(call.endpoint.name)
        try:
            return await self._authorised(call, permit)
        finally:
            permit.close()

    def _pause_s(
        self, call: _Call, result: Answer | CloudError, retry: int
    ) -> float | None:
        """Return when to try again; None where that is not to be."""
        name = call.endpoint.name
        is_last = retry == TRIES_MAX - 1
        if (
            is_last
            or not call.is_worth_another(result)
            or self._circuits.shut_for_s(name)
        ):
            return None
        asked_s = retry_after_s(result.headers) if isinstance(result, Answer) else 0.0
        least_s = max(TRY_LEAST_S, self._circuits.usual_s(name))
        left_s = call.deadline - asyncio.get_running_loop().time() - least_s
        chosen_s = pause_s(retry, asked_s, left_s, self._draw())
        if chosen_s is None or not self._budget.take_retry(name):
            return None
        return chosen_s

    async def _authorised(self, call: _Call, permit: Permit) -> Answer:
        """Send a request, and once more where only its token was wrong.

        Raises:
            UpstreamRefusedError: A new one is wrong too. Passed on, the 401 would
                be taken for a word on the caller's own token.
        """
        token = await self._token_until(call.deadline)
        answer = await self._send(call, permit, token)
        if not _is_about_token(answer):
            return answer
        self._token.forget(token)
        new_token = await self._token_until(call.deadline)
        if new_token != token:
            answer = await self._send(call, permit, new_token)
        # Else it is new already: another one would be refused like it.
        if _is_about_token(answer):
            raise UpstreamRefusedError("Vertex AI refused this function's credentials")
        return answer

    async def _token_until(self, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._token.value()
        except TimeoutError as error:
            raise LateAnswerError("no credential for Vertex AI in time") from error

    async def _send(self, call: _Call, permit: Permit, token: bytes) -> Answer:
        """Send one request, and hold what becomes of it against the upstream."""
        loop = asyncio.get_running_loop()
        endpoint, began_at = call.endpoint, loop.time()
        limit = min(call.deadline, began_at + endpoint.timeout_s)
        origin, path = _target(endpoint.url, endpoint.name)
        headers = ((b"Content-Type", call.content_type), (b"Authorization", token))
        call.spent.tries += 1
        # The loop's own clock may count in milliseconds.
        begun = time.perf_counter()
        try:
            answer = await self._upstream.request(
                "POST", origin, path, headers, call.body, deadline=limit
            )
        except LateAnswerError:
            permit.was_late(limit - began_at, endpoint.timeout_s)
            raise
        except (NotSentError, BrokenAnswerError):
            permit.failed()
            raise
        finally:
            call.spent.upstream_s = time.perf_counter() - begun
        permit.answered(answer.status, _deployed_model_id(answer))
        return answer


def _deployed_model_id(answer: Answer) -> str:
    return answer.headers.get(_MODEL_ID, "")[:_MODEL_ID_MAX]


def _is_about_token(answer: Answer) -> bool:
    """Say whether Vertex AI refuses our token; a deployed model's 401 is its own."""
    return answer.status == _UNAUTHORISED and _MODEL_ID not in answer.headers


@functools.lru_cache(maxsize=64)
def _target(url: str, name: str) -> tuple[Origin, str]:
    """Return where an endpoint answers; there are as many as settings name."""
    return parse_origin(url), f"/v1/{name}:rawPredict"
