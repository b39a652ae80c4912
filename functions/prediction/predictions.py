"""Ask a model for one prediction, and say which release it came from."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.adapters.upstream.answer import Answer
from functions.errors import (
    CloudError,
    NotFoundError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from functions.prediction import headers as translated
from functions.prediction.attempts import Outcome, Spent
from functions.prediction.deadline import caller_timeout_s, header_timeout_s
from functions.prediction.expected import Expected
from functions.prediction.parts import Parts
from functions.prediction.reply import Reply
from functions.prediction.request_line import RequestLine
from functions.prediction.routes import Route, RouteKind
from functions.prediction.underway import Visit
from functions.prediction.whose import Whose
from functions.setting_values import PredictedModel

if TYPE_CHECKING:
    from functions.prediction.shadow_run import ShadowRun

_ERROR = 400
NAMED_S = 0.25
"""For the name of a release that is only a header and a word in the log."""


@dataclass(slots=True)
class Asked:
    """A prediction that is asked for.

    Attributes:
        headers: Of the request, names in lower case.
        line: Is told what becomes known.
        held: What is given back when the answer is sent.
    """

    model: PredictedModel
    route: Route
    headers: Mapping[bytes, bytes]
    visit: Visit
    line: RequestLine
    held: ExitStack


@dataclass(frozen=True, slots=True)
class _Body:
    """What goes upstream, and until when an answer is worth the work."""

    content: bytes
    content_type: str
    deadline: float


class Predictions:
    """Asks Vertex AI."""

    def __init__(self, parts: Parts) -> None:
        """Ask with these parts."""
        self._parts = parts

    async def predict(self, asked: Asked) -> Reply:
        """Pass a request on, and its answer back.

        Raises:
            CloudError: There is no answer to pass on, or it may not be.
            PackhorseError: The request is none.
            GoneError: The caller left before it had sent its body.
        """
        size = translated.json_size(asked.headers)
        limit_s = header_timeout_s(asked.headers, limit_s=asked.model.serving.timeout_s)
        content = await self._read(asked, limit_s)
        if asked.route.kind is RouteKind.INFER:
            limit_s = caller_timeout_s(None, content, size, limit_s=limit_s)
        body = _Body(
            content,
            translated.upstream_type(asked.headers, size),
            asked.visit.begun_at + limit_s,
        )
        room = asked.held.enter_context(self._parts.admission.admitted(len(content)))
        reply = await self._ask(asked, body)
        room.answered(len(reply.body))
        return reply

    async def _read(self, asked: Asked, limit_s: float) -> bytes:
        visit = asked.visit
        visit.read_by = visit.begun_at + limit_s
        begun = time.perf_counter()
        content = await self._parts.bodies.read(
            visit.receive,
            asked.headers,
            limit_bytes=asked.model.serving.request_max_bytes,
        )
        asked.line.elsewhere_s += time.perf_counter() - begun
        visit.read_by = None
        asked.line.sent_bytes = len(content)
        return content

    async def _ask(self, asked: Asked, body: _Body) -> Reply:
        parts, line = self._parts, asked.line
        parts.expectations.begin()
        await self._check_version(asked, body.deadline)
        run = self._begin_shadow(asked, body)
        try:
            outcome = await self._call(asked, body)
            line.release = await self._release(asked, outcome, body.deadline)
        except BaseException:
            if run is not None:
                run.forget()
            raise
        self._log(asked, body, outcome.answer)
        if run is not None:
            run.compare_with(outcome.answer, line.release, outcome.upstream_s)
        await self._check(asked, outcome, body.deadline)
        return _passed_on(outcome.answer, line.release)

    async def _check_version(self, asked: Asked, deadline: float) -> None:
        """Refuse to ask for a version of which is known that it cannot answer.

        What is deployed is asked only where the version was not there last time.
        """
        if not asked.route.version:
            return
        wanted, model = _release_asked(asked), asked.model
        if model.is_pin_enforced:
            expected = await self._parts.expectations.of(model.name, deadline=deadline)
            if expected.is_to_refuse(wanted):
                raise NotFoundError(f"{wanted} is not to answer here now")
        releases, endpoint = self._parts.releases, model.serving.name
        if releases.has_seen(endpoint, wanted):
            return
        with suppress(UpstreamUnavailableError):
            deployed = await releases.read(endpoint, deadline=deadline)
            if wanted not in {one.release for one in deployed}:
                raise NotFoundError(f"{wanted} is not deployed here")

    async def _call(self, asked: Asked, body: _Body) -> Outcome:
        model, line, spent = asked.model, asked.line, Spent()
        begun = time.perf_counter()
        try:
            outcome = await self._parts.attempts.call(
                model.serving,
                body.content,
                body.content_type,
                deadline=body.deadline,
                retries_timeouts=model.retries_timeouts,
                spent=spent,
            )
        except CloudError:
            line.upstream_s = spent.upstream_s
            self._log(asked, body, None)
            raise
        finally:
            line.elsewhere_s += time.perf_counter() - begun
            line.tries, line.upstream_s = spent.tries, spent.upstream_s
        line.received_bytes = len(outcome.answer.body)
        line.deployed_model_id = outcome.deployed_model_id
        return outcome

    async def _release(self, asked: Asked, outcome: Outcome, deadline: float) -> str:
        """Return the release that answered; empty where nobody knows.

        Where nothing is decided by it, the answer does not wait for long; the look
        goes on for those that come next.
        """
        if not outcome.deployed_model_id:
            return ""
        if not (asked.model.is_pin_enforced or asked.route.version):
            deadline = min(deadline, asyncio.get_running_loop().time() + NAMED_S)
        begun = time.perf_counter()
        try:
            return await self._parts.releases.release_of(
                asked.model.serving.name, outcome.deployed_model_id, deadline=deadline
            )
        finally:
            asked.line.elsewhere_s += time.perf_counter() - begun

    async def _check(self, asked: Asked, outcome: Outcome, deadline: float) -> None:
        """Count an answer that was not to come, and refuse it where that is set.

        Raises:
            NotFoundError: Another version was asked for.
            UpstreamRefusedError: This release is not to answer.
        """
        if not outcome.deployed_model_id and outcome.answer.status >= _ERROR:
            # It is the platform that refuses, and no release.
            return
        model, line = asked.model, asked.line
        expected = await self._parts.expectations.of(
            model.name, deadline=deadline, answered=line.release
        )
        line.is_unexpected = expected.is_unexpected(line.release) and not (
            # Only not known yet.
            line.release == "" and self._parts.releases.is_asking(model.serving.name)
        )
        self._parts.answered.note(
            model.name, line.release, is_unexpected=line.is_unexpected
        )
        if model.is_pin_enforced and expected.is_to_refuse(line.release):
            raise UpstreamRefusedError(_not_to_answer(line.release, expected))
        if asked.route.version and line.release not in {"", _release_asked(asked)}:
            raise NotFoundError(
                f"{line.release} answers here, not {_release_asked(asked)}"
            )

    def _begin_shadow(self, asked: Asked, body: _Body) -> "ShadowRun | None":
        """Ask the candidate too, where the request is sampled for that."""
        if self._parts.shadow is None:
            return None
        return self._parts.shadow.begin(
            asked.model,
            body.content,
            body.content_type,
            deadline=body.deadline,
            whose=Whose(asked.line.request_id, asked.line.trace),
        )

    def _log(self, asked: Asked, body: _Body, answer: Answer | None) -> None:
        line, log = asked.line, self._parts.inference_log
        if log is None:
            return
        log.note(
            model=asked.model.name,
            release=line.release,
            request_id=line.request_id,
            traceparent=asked.headers.get(b"traceparent", b"").decode("latin-1"),
            body=body.content,
            content_type=body.content_type,
            answer=answer,
            outcome=_outcome(answer),
            upstream_s=line.upstream_s,
        )


def _outcome(answer: Answer | None) -> str:
    """Say what the caller is told, as a gateway's prediction log does."""
    return "ok" if answer is not None and answer.status < _ERROR else "failed"


def _release_asked(asked: Asked) -> str:
    return f"{asked.model.name}@{asked.route.version[:20]}"


def _not_to_answer(release: str, expected: Expected) -> str:
    answered = release or "an unknown release"
    allowed = " or ".join(sorted(expected.releases))
    if not allowed:
        return f"{answered} answered, which is withdrawn"
    return f"{answered} answered, and only {allowed} may"


def _passed_on(answer: Answer, release: str) -> Reply:
    headers = translated.answer_headers(answer.headers, len(answer.body))
    if release:
        headers.append((b"x-packhorse-release", release.encode("ascii")))
    return Reply(answer.status, answer.body, headers)
