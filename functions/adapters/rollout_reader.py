"""The signed rollout documents, followed inside requests.

A steady look is one conditional request for `timestamp.json`, at most every
`LOOK_EVERY_S`, and nobody waits for it who knows something older. Only what
differs is verified: in a thread, by `rollout_trust.py`.

Whatever goes wrong leaves the last good documents in force, and is logged once.

Source: docs/protocol.md, 4 and 8; docs/adr/0013-one-question-a-poll.md
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from functions.adapters.bearer_token import BearerToken
from functions.adapters.object_reader import ObjectReader, Polled
from functions.adapters.upstream.client import Upstream
from functions.errors import CloudError, SettingsError
from functions.setting_values import RolloutSource
from packhorse.errors import PackhorseError, UntrustedError

if TYPE_CHECKING:
    from functions.adapters.rollout_trust import (
        Check,
        RolloutTrust,
        Verified,
        Wanted,
    )
    from packhorse.assignment import RolloutDocument

LOOK_EVERY_S = 30.0
LOOK_S = 10.0
"""For a whole look; one that only asks takes some milliseconds."""
FORMER_S = 120.0
"""For how long the releases of the document before may still answer: the endpoint's
split follows a document by seconds, and Vertex AI takes its time to move it."""
ANSWER_MAX_BYTES = 5_000_000
"""The longest metadata that any of our programs reads."""
TIMESTAMP_MAX_BYTES = 16_384

_TIMESTAMP = "metadata/timestamp.json"
_FROZEN_S = 1.0
"""A deadline that is noticed so late was missed by us: we had no processor."""
_NEVER = float("-inf")

Note = Callable[[str, Mapping[str, object]], None]


class SeenRollout(NamedTuple):
    """What is known of one model's rollout.

    Attributes:
        former: The document before, while its releases may still answer.
        is_stale: Whether the last look failed, or what vouches for it has expired.
    """

    document: "RolloutDocument"
    former: "RolloutDocument | None"
    is_stale: bool


class _Former(NamedTuple):
    document: "RolloutDocument"
    until: float


class RolloutReader:
    """Follows the documents of some models in one bucket."""

    def __init__(
        self,
        upstream: Upstream,
        token: BearerToken | None,
        source: RolloutSource,
        note: Note,
    ) -> None:
        """Read what `source` names.

        Args:
            upstream: Takes answers of `ANSWER_MAX_BYTES` at most.
            token: Lets us read the bucket; None where anybody may.
            source: Where it lies, who is trusted, and which models are followed.
            note: Writes a log line: an event and its fields.
        """
        self._objects = ObjectReader(
            upstream, token, url=source.url, bucket=source.bucket
        )
        self._source = source
        self._note = note
        self._trust: RolloutTrust | None = None
        self._polled = Polled(b"")
        self._documents: Mapping[str, RolloutDocument] = {}
        self._former: dict[str, _Former] = {}
        self._valid_until: datetime | None = None
        self._failure = ""
        self._asked_at = _NEVER
        self._look: asyncio.Task[None] | None = None
        self.has_looked = False
        self.revision = 0

    def seen(self, model: str) -> SeenRollout | None:
        """Return what is known of a model's rollout; None when nothing."""
        document = self._documents.get(model)
        if document is None:
            return None
        former = self._former.get(model)
        if former is not None and former.until < asyncio.get_running_loop().time():
            former = None
        return SeenRollout(document, former and former.document, self._is_stale())

    def poll(self) -> None:
        """Begin a look in the background, if one is due."""
        if asyncio.get_running_loop().time() - self._asked_at >= LOOK_EVERY_S:
            self.look()

    def look(self) -> None:
        """Begin a look in the background, unless one is under way."""
        if self._look is None or self._look.done():
            self._asked_at = asyncio.get_running_loop().time()
            self._look = asyncio.create_task(self._try_to_look(), name="rollouts")
            self._look.add_done_callback(self._ended)

    async def wait(self, timeout_s: float) -> None:
        """Wait for the look that is under way, if any; it goes on afterwards."""
        if self._look is not None and timeout_s > 0:
            await asyncio.wait({self._look}, timeout=timeout_s)

    async def close(self) -> None:
        """End the look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look})

    def _is_stale(self) -> bool:
        until = self._valid_until
        return bool(self._failure) or until is None or datetime.now(UTC) >= until

    async def _try_to_look(self) -> None:
        deadline = self._asked_at + LOOK_S
        try:
            await self._ask(deadline)
        except (CloudError, PackhorseError) as error:
            self._fail(error, deadline)
        else:
            self._succeed()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nobody waits for the task; what it stumbled over is our fault.
            self._tell_failure("the look crashed", error)

    def _fail(self, error: CloudError | PackhorseError, deadline: float) -> None:
        if asyncio.get_running_loop().time() > deadline + _FROZEN_S:
            # Between requests an instance has no processor: this says nothing of
            # the bucket, and the next request asks anew.
            self._asked_at = _NEVER
            return
        self._tell_failure(str(error), error.__cause__)

    def _tell_failure(self, reason: str, cause: BaseException | None) -> None:
        if reason != self._failure:
            kind = type(cause).__name__ if cause else ""
            fields = {"severity": "WARNING", "reason": reason, "cause": kind}
            self._note("rollouts not read", fields)
        self._failure = reason
        self.has_looked = True

    def _succeed(self) -> None:
        if self._failure:
            self._note("rollouts read again", {"severity": "NOTICE"})
        self._failure = ""
        self.has_looked = True

    async def _ask(self, deadline: float) -> None:
        """Ask whether anything is new; if so, verify it and let it count."""
        polled = await self._objects.poll(
            _TIMESTAMP,
            self._polled,
            limit_bytes=TIMESTAMP_MAX_BYTES,
            deadline=deadline,
        )
        if polled is None:
            raise UntrustedError(f"{_TIMESTAMP} is missing")
        if polled.body != self._polled.body:
            self._follow(await self._verify(polled.body, deadline))
        self._polled = polled

    async def _verify(self, timestamp: bytes, deadline: float) -> "Verified":
        if self._trust is None:
            self._trust = await asyncio.to_thread(_begin, self._source.root_file)
        check = self._trust.check(timestamp, self._source.models)
        now = await asyncio.to_thread(_step, check, None)
        while isinstance(now, tuple):
            body = await self._objects.read(
                now.name, limit_bytes=now.limit_bytes, deadline=deadline
            )
            now = await asyncio.to_thread(_step, check, body)
        return now

    def _follow(self, verified: "Verified") -> None:
        until = asyncio.get_running_loop().time() + FORMER_S
        for model, document in verified.documents.items():
            before = self._documents.get(model)
            if before == document:
                continue
            if before is not None:
                self._former[model] = _Former(before, until)
            self._note("rollout followed", _fields(document))
        self._documents = verified.documents
        self._valid_until = verified.valid_until
        self.revision += 1


def _begin(root_file: Path) -> "RolloutTrust":
    from functions.adapters.rollout_trust import (  # noqa: PLC0415 - heavy
        ROOT_MAX_BYTES,
        RolloutTrust,
    )

    try:
        with root_file.open("rb") as file:
            return RolloutTrust(file.read(ROOT_MAX_BYTES))
    except OSError as error:
        raise SettingsError("TRUST_ROOT_FILE names a file that is not there") from error


def _step(check: "Check", came: bytes | None) -> "Wanted | Verified":
    from functions.adapters.rollout_trust import step  # noqa: PLC0415 - heavy

    return step(check, came)


def _fields(document: "RolloutDocument") -> Mapping[str, object]:
    return {
        "model": document.model,
        "sequence": document.sequence,
        "stable": str(document.stable.release) if document.stable else "",
        "candidate": str(document.candidate.release) if document.candidate else "",
    }
