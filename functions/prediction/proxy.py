"""Answer one request: the thinnest proxy in front of Vertex AI.

Bodies pass unchanged in both directions; only headers are translated. Who may
ask is left to what stands in front of this function.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack

from starlette.types import Receive, Scope, Send

from functions.errors import CloudError, LateAnswerError, SlowBodyError, StoppingError
from functions.prediction.bodies import GoneError
from functions.prediction.deadline import header_timeout_s
from functions.prediction.descriptions import Descriptions, find_model
from functions.prediction.event_line import event_line
from functions.prediction.headers import read_trace, request_id
from functions.prediction.parts import Parts
from functions.prediction.predictions import Asked, Predictions
from functions.prediction.reply import (
    OUR_FAULT,
    Reply,
    json_reply,
    refusal,
    refusal_of,
)
from functions.prediction.request_line import RequestLine, render, write
from functions.prediction.routes import ASKS_MODEL, Route, find_route
from functions.prediction.underway import Visit
from packhorse.errors import PackhorseError

DESCRIBED_S = 30.0
"""For whatever needs no model; several models are asked for one after the other."""
_OK = 200
_SERVER_ERROR = 500
_GONE = 499
"""What nginx logs when a caller left; nobody ever receives it."""
_ENDED = {
    "slow": SlowBodyError("the body did not come in time"),
    "stopped": StoppingError("this instance ends; ask again"),
}


class Proxy:
    """Answers every request of one process."""

    def __init__(self, parts: Parts) -> None:
        """Answer with these parts."""
        self._parts = parts
        self._project = parts.settings.project
        self._descriptions = Descriptions(parts)
        self._predictions = Predictions(parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens, and log one line of it."""
        begun = time.perf_counter()
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        line = RequestLine(
            method=scope["method"],
            path=scope["path"],
            request_id=request_id(headers.get(b"x-request-id")),
            trace=read_trace(headers),
        )
        visit = self._parts.underway.enter(receive)
        with ExitStack() as held:
            reply = await self._reply(headers, visit, line, held)
            # Before it is sent: afterwards a function may have no CPU.
            self._log(reply, line, latency_s=time.perf_counter() - begun)
            reply.headers.append((b"x-request-id", line.request_id.encode()))
            if not await reply.send(receive, send):
                self._note_untaken(line)

    async def _reply(
        self,
        headers: Mapping[bytes, bytes],
        visit: Visit,
        line: RequestLine,
        held: ExitStack,
    ) -> Reply:
        try:
            return await self._answer(headers, visit, line, held)
        except asyncio.CancelledError:
            if not visit.ended_by:
                raise
            visit.task.uncancel()
            return _reply_to_ended(visit.ended_by, line)
        except GoneError:
            return _reply_to_ended("gone", line)
        except (CloudError, PackhorseError) as error:
            return _reply_to_error(error, line)
        except Exception as error:  # noqa: BLE001 - the server's last handler
            return _reply_to_crash(error, line)
        finally:
            self._parts.underway.leave(visit)

    async def _answer(
        self,
        headers: Mapping[bytes, bytes],
        visit: Visit,
        line: RequestLine,
        held: ExitStack,
    ) -> Reply:
        route = find_route(line.method, line.path)
        if route.kind not in ASKS_MODEL:
            limit_s = header_timeout_s(headers, limit_s=DESCRIBED_S)
            document = await self._describe(route, visit.begun_at + limit_s)
            return json_reply(_OK, document)
        model = find_model(self._parts.settings, route)
        line.model = model.name
        asked = Asked(model, route, headers, visit, line, held)
        return await self._predictions.predict(asked)

    async def _describe(self, route: Route, deadline: float) -> object:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._descriptions.tell(route)
        except TimeoutError as error:
            raise LateAnswerError("the time was over before all was known") from error

    def _log(self, reply: Reply, line: RequestLine, *, latency_s: float) -> None:
        line.status = reply.status
        line.answered_bytes = len(reply.body)
        write(render(line, latency_s=latency_s, project=self._project))

    def _note_untaken(self, line: RequestLine) -> None:
        """Say that the line of a request told of an answer that nobody took."""
        fields = {
            "severity": "WARNING",
            "request_id": line.request_id,
            "trace": line.trace.trace_id,
            "answered_bytes": line.answered_bytes,
        }
        write(event_line("answer not taken", fields, project=self._project))


class Unready:
    """Answers where this process is set up wrong; callers are not told how."""

    def __init__(self, error: Exception) -> None:
        """Answer in place of a proxy that could not be made."""
        self._reason = str(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that it is our fault, and log why."""
        line = RequestLine(scope["method"], scope["path"], request_id(None))
        line.outcome, line.reason = "crashed", self._reason
        line.status = _SERVER_ERROR
        write(render(line, latency_s=0.0, project=""))
        await refusal(_SERVER_ERROR, OUR_FAULT).send(receive, send)


def _reply_to_error(error: Exception, line: RequestLine) -> Reply:
    reply = refusal_of(error)
    line.outcome = "failed" if reply.status >= _SERVER_ERROR else "refused"
    line.reason = str(error)
    line.error = type(error).__name__
    line.cause = type(error.__cause__).__name__ if error.__cause__ else ""
    return reply


def _reply_to_ended(why: str, line: RequestLine) -> Reply:
    if why == "gone":
        line.outcome = why
        return refusal(_GONE, "the caller left")
    reply = _reply_to_error(_ENDED[why], line)
    # What else comes of this request must not be taken for the next one.
    reply.headers.append((b"connection", b"close"))
    return reply


def _reply_to_crash(error: Exception, line: RequestLine) -> Reply:
    line.outcome = "crashed"
    line.blame(error)
    return refusal(_SERVER_ERROR, OUR_FAULT)
