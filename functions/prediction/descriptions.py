"""Answer what needs no model: health, metadata, which releases answer.

What tensors a model takes is in its bundle, which this function never reads.

Source: Open Inference Protocol, REST; KServe, first protocol; Triton, "Model
Repository Extension"
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from functions.adapters.deployed_releases import Deployed
from functions.errors import NotFoundError
from functions.prediction.parts import Parts
from functions.prediction.routes import Route, RouteKind
from functions.setting_values import PredictedModel, PredictSettings

READ_S = 5.0
"""Whoever asks what is deployed waits no longer."""

Document = object


class Descriptions:
    """What this function tells of itself and of its models."""

    def __init__(self, parts: Parts) -> None:
        """Tell of these parts."""
        self._parts = parts
        self._told: dict[RouteKind, Callable[[Route], Awaitable[Document]]] = {
            RouteKind.ALIVE: self._alive,
            RouteKind.LIVE: self._live,
            RouteKind.READY: self._ready,
            RouteKind.SERVER: self._server,
            RouteKind.INDEX: self._index,
            RouteKind.RELEASES: self._releases,
            RouteKind.V1_MODEL: self._model_ready,
            RouteKind.MODEL_READY: self._model_ready,
            RouteKind.MODEL: self._model,
        }

    async def tell(self, route: Route) -> Document:
        """Return the JSON document that a route asks for.

        Raises:
            NotFoundError: There is no such model, or version of it.
            UpstreamUnavailableError: Vertex AI does not say what is deployed, or
                no token is to be had.
        """
        return await self._told[route.kind](route)

    async def _alive(self, _: Route) -> Document:
        return {"status": "alive"}

    async def _live(self, _: Route) -> Document:
        return {"live": True}

    async def _ready(self, _: Route) -> Document:
        # Before the first prediction comes, which would wait for this look.
        self._parts.expectations.begin()
        await self._parts.token.value()
        return {"ready": True}

    async def _server(self, _: Route) -> Document:
        return {
            "name": "packhorse",
            "version": "1",
            "extensions": ["binary_tensor_data", "model_repository"],
        }

    async def _index(self, _: Route) -> Document:
        index = []
        for model in self._parts.settings.models.values():
            versions = _versions(await self._deployed(model)) or ["1"]
            index += [
                {"name": model.name, "version": v, "state": "READY", "reason": ""}
                for v in versions
            ]
        return index

    async def _releases(self, _: Route) -> Document:
        models = self._parts.settings.models.values()
        return {"models": [await self._release(model) for model in models]}

    async def _release(self, model: PredictedModel) -> Document:
        deployed = await self._deployed(model)
        return {
            "name": model.name,
            "expected": await self._expected(model),
            "deployed": _shares(deployed),
            "answered": self._parts.answered.tell(model.name),
        }

    async def _model_ready(self, route: Route) -> Document:
        await self._versions_of(route)
        return {"name": route.model, "ready": True}

    async def _model(self, route: Route) -> Document:
        deployed = await self._versions_of(route)
        return {
            "name": route.model,
            "versions": _versions(deployed),
            "platform": "onnxruntime_onnx",
            "inputs": [],
            "outputs": [],
            "expected": await self._expected(self._known(route)),
            "deployed": _shares(deployed),
        }

    async def _versions_of(self, route: Route) -> Sequence[Deployed]:
        deployed = await self._deployed(self._known(route))
        versions = _versions(deployed)
        if route.version and route.version not in versions:
            raise NotFoundError(
                f"{route.model} is deployed in the versions {versions}, "
                f"not {route.version[:20]!r}"
            )
        return deployed

    def _known(self, route: Route) -> PredictedModel:
        return find_model(self._parts.settings, route)

    async def _deployed(self, model: PredictedModel) -> Sequence[Deployed]:
        return await self._parts.releases.read(
            model.serving.name, deadline=_now() + READ_S
        )

    async def _expected(self, model: PredictedModel) -> Document:
        expected = await self._parts.expectations.of(
            model.name, deadline=_now() + READ_S
        )
        return {
            "releases": sorted(expected.releases),
            "source": expected.source,
            "rollout_id": expected.rollout_id,
            "is_stale": expected.is_stale,
            "is_enforced": model.is_pin_enforced,
        }


def find_model(settings: PredictSettings, route: Route) -> PredictedModel:
    """Return the model that a route names, or the only one where it names none.

    Raises:
        NotFoundError: It is not here, or there are several.
    """
    models = settings.models
    if route.model:
        if model := models.get(route.model):
            return model
        raise NotFoundError(f"there is no model {route.model[:80]!r} here")
    if len(models) != 1:
        raise NotFoundError(
            f"POST / asks the only model, and here are {len(models)}; name one with "
            f"POST /v1/models/MODEL:predict"
        )
    return next(iter(models.values()))


def _shares(deployed: Sequence[Deployed]) -> list[dict[str, object]]:
    return [
        {"deployed_model_id": one.id, "release": one.release, "share": one.share}
        for one in deployed
    ]


def _versions(deployed: Sequence[Deployed]) -> list[str]:
    return sorted({one.release.rpartition("@")[2] for one in deployed if one.release})


def _now() -> float:
    return asyncio.get_running_loop().time()
