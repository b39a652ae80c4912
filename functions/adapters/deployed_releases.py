"""Which release stands behind a deployed model's id, and how much traffic it gets.

Asked of Vertex AI once for each id that nobody has seen: an answer carries the id
of the deployed model that gave it, and callers want to know the release.

Source: Vertex AI, `projects.locations.endpoints`, `deployedModels`, `trafficSplit`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.client import Answer, Upstream
from functions.adapters.upstream.origin import Origin
from functions.errors import CloudError, UpstreamUnavailableError
from packhorse.errors import MalformedError
from packhorse.strict_json import Fields, decode_json

LOOK_S = 5.0
"""For one look, whoever waits for it."""
LOOK_AGAIN_S = 3.0
"""An unknown deployed model makes us ask again, but no more often than this."""
ENDPOINT_MAX_BYTES = 1024**2
DEPLOYED_MAX = 1000
NAME_MAX = 128
"""Characters. Source: Vertex AI, `DeployedModel.display_name`"""
_OK = 200
_UNAUTHORISED = 401
_PERCENT_MAX = 100


@dataclass(frozen=True, slots=True)
class Deployed:
    """One model that an endpoint serves.

    Attributes:
        release: Its display name, `magika@2`; empty where that is no such text.
        share: Of the endpoint's traffic, in percent.
    """

    id: str
    release: str
    share: int


@dataclass(slots=True)
class _Known:
    """What was read of an endpoint last, and when we asked last."""

    deployed: Sequence[Deployed] = ()
    releases: Mapping[str, str] = field(default_factory=dict)
    asked_at: float = float("-inf")
    is_current: bool = False
    look: asyncio.Task[None] | None = None


class DeployedReleases:
    """What endpoints serve; of one event loop."""

    def __init__(self, upstream: Upstream, token: BearerToken, api: Origin) -> None:
        """Begin with nothing known.

        Args:
            upstream: Which the region's API is asked through.
            token: Which it knows us by.
            api: It describes endpoints of every kind.
        """
        self._upstream = upstream
        self._token = token
        self._api = api
        self._known: dict[str, _Known] = {}

    async def release_of(
        self, endpoint: str, deployed_model_id: str, *, deadline: float
    ) -> str:
        """Return the release that a deployed model is.

        Args:
            endpoint: `projects/P/locations/L/endpoints/E`.
            deployed_model_id: As an answer named it.
            deadline: In the loop's clock.

        Returns:
            An empty string when nobody knows; a header is not worth an answer.
        """
        known = self._of(endpoint)
        if deployed_model_id not in known.releases:
            await self._look(endpoint, known, deadline)
        return known.releases.get(deployed_model_id, "")

    def has_seen(self, endpoint: str, release: str) -> bool:
        """Say whether a release was deployed when we last asked; asks nothing."""
        return release in self._of(endpoint).releases.values()

    def known(self, endpoint: str, deployed_model_id: str) -> str:
        """Return the release that a deployed model is, if we know; asks nothing."""
        return self._of(endpoint).releases.get(deployed_model_id, "")

    def is_asking(self, endpoint: str) -> bool:
        """Say whether what an endpoint serves is being asked just now."""
        return self._of(endpoint).look is not None

    async def read(self, endpoint: str, *, deadline: float) -> Sequence[Deployed]:
        """Return what an endpoint serves, as it said at most `LOOK_AGAIN_S` ago.

        Raises:
            UpstreamUnavailableError: Not to be had now.
        """
        known = self._of(endpoint)
        await self._look(endpoint, known, deadline)
        if not known.is_current:
            raise UpstreamUnavailableError("Vertex AI does not describe its endpoint")
        return known.deployed

    def _of(self, endpoint: str) -> _Known:
        """Return what is known; endpoints come from settings, so they are few."""
        known = self._known.get(endpoint)
        if known is None:
            known = self._known[endpoint] = _Known()
        return known

    async def _look(self, endpoint: str, known: _Known, deadline: float) -> None:
        """Ask, or wait for whoever asks; not for long, and not too often."""
        loop = asyncio.get_running_loop()
        if known.look is None:
            if loop.time() - known.asked_at < LOOK_AGAIN_S:
                return
            known.asked_at = loop.time()
            known.look = loop.create_task(self._ask(endpoint, known))
        # One who gives up leaves the others waiting: the look goes on.
        await asyncio.wait([known.look], timeout=max(0.0, deadline - loop.time()))

    async def _ask(self, endpoint: str, known: _Known) -> None:
        known.is_current = False
        try:
            async with asyncio.timeout(LOOK_S):
                known.deployed = _decode(await self._get(f"/v1/{endpoint}"))
        except (CloudError, MalformedError, TimeoutError):
            # What was read before may still name the right release.
            return
        finally:
            known.look = None
        known.releases = {model.id: model.release for model in known.deployed}
        known.is_current = True

    async def _get(self, path: str) -> bytes:
        answer = await self._get_once(path)
        if answer.status == _UNAUTHORISED:
            answer = await self._get_once(path)
        if answer.status != _OK:
            raise UpstreamUnavailableError(f"Vertex AI answered {answer.status}")
        return answer.body

    async def _get_once(self, path: str) -> Answer:
        value = await self._token.value()
        answer = await self._upstream.request(
            "GET",
            self._api,
            path,
            [(b"Authorization", value)],
            deadline=asyncio.get_running_loop().time() + LOOK_S,
        )
        if answer.status == _UNAUTHORISED:
            self._token.forget(value)
        return answer


def _decode(body: bytes) -> Sequence[Deployed]:
    """Read the models that an endpoint serves, out of its description.

    Raises:
        MalformedError: It is none.
    """
    what = "description of an endpoint"
    fields = Fields(decode_json(body, what=what, limit_bytes=ENDPOINT_MAX_BYTES), what)
    models = fields.optional("deployedModels") or []
    split = fields.optional("trafficSplit") or {}
    if not (isinstance(models, list) and isinstance(split, dict)):
        raise MalformedError(f"a {what} holds a list of models and an object of shares")
    if len(models) > DEPLOYED_MAX:
        raise MalformedError(f"an endpoint serves {DEPLOYED_MAX} models at most")
    return tuple(
        _deployed(Fields(model, "a deployed model"), split) for model in models
    )


def _deployed(fields: Fields, split: Mapping[str, object]) -> Deployed:
    number = fields.text("id", pattern="[0-9]{1,20}")
    share = split.get(number, 0)
    if isinstance(share, bool) or not isinstance(share, int):
        raise MalformedError("a share of traffic is a whole number of percent")
    if not 0 <= share <= _PERCENT_MAX:
        raise MalformedError(f"a share of traffic lies in 0..{_PERCENT_MAX}")
    return Deployed(number, _release(fields.optional("displayName")), share)


def _release(name: object) -> str:
    """Return a name that may stand in a header and in a log line, or nothing."""
    is_fit = isinstance(name, str) and name.isascii() and name.isprintable()
    return str(name) if is_fit and len(str(name)) <= NAME_MAX else ""
