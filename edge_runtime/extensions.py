"""What is asked beside the protocol's own: Triton's extensions, KServe's first list.

Documents of models that are loaded have a route each. What reads the models
directory, to list, load or unload, takes its time: the Flask app alone does that,
in a thread.

Source: Triton, "Protocol Extensions"; KServe, "V1 Inference Protocol"
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from edge_runtime import triton
from edge_runtime.errors import (
    EdgeError,
    ModelError,
    NotAllowedError,
    SlotError,
    UnknownModelError,
)
from edge_runtime.http.replies import Body, Reply, error_reply, json_reply, refusal
from edge_runtime.models.served_model import ServedModel
from edge_runtime.service import Handler, Service
from packhorse.errors import MalformedError

Key = tuple[str, str]


class Extensions:
    """Answers for the models of a service."""

    def __init__(self, service: Service) -> None:
        """Answer for what `service` has loaded, whenever asked."""
        self._service = service
        self._models = service.models

    def list_models(self, _body: Body) -> Reply:
        """Name the models that are served."""
        names = {model.name for model in self._models.all()}
        return json_reply(200, {"models": sorted(names)})

    def ready(self, _body: Body, name: str) -> Reply:
        """Say whether a model is ready, as KServe's first protocol asks."""
        return self._service.model_ready(name)

    def config(self, _body: Body, name: str, version: str | None = None) -> Reply:
        """Describe how a model is served."""
        model = self._models.get(name, version)
        return json_reply(200, triton.model_config(model), model.headers)

    def all_statistics(self, _body: Body) -> Reply:
        """Describe what every model did."""
        return json_reply(200, self._statistics(self._models.all()))

    def statistics(self, _body: Body, name: str, version: str | None = None) -> Reply:
        """Describe what all versions of a model did, or just one."""
        asked = self._models.get(name, version)
        models = [m for m in self._models.all() if m.name == name]
        return json_reply(200, self._statistics([asked] if version else models))

    def _statistics(self, models: Iterable[ServedModel]) -> triton.Document:
        return triton.statistics(models, self._service.measures_of)

    def index(self, body: Body) -> Reply:
        """List what is in the repository."""
        return json_reply(200, triton.repository_index(self._models.index(), body))

    def load(self, body: Body, name: str) -> Reply:
        """Load a model, or load it again; takes as long as that takes."""
        triton.check_load(body)
        try:
            self._models.load(name)
        except (ModelError, SlotError) as error:
            return error_reply(400, str(error))  # this server is sound
        return json_reply(200, {})

    def unload(self, body: Body, name: str) -> Reply:
        """Serve a model no more."""
        triton.check_unload(body)
        self._models.unload(name)
        return json_reply(200, {})


def extension_routes(service: Service) -> Mapping[Key, Handler]:
    """Return handlers by method and path for what is served now."""
    extensions = Extensions(service)
    routes: dict[Key, Handler] = {
        ("GET", "/v1/models"): answering(extensions.list_models),
        ("GET", "/v2/models/stats"): answering(extensions.all_statistics),
    }
    for name, version in _names(service):
        config = partial(extensions.config, name=name, version=version)
        statistics = partial(extensions.statistics, name=name, version=version)
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
        routes["GET", f"{path}/config"] = answering(config)
        routes["GET", f"{path}/stats"] = answering(statistics)
        ready = partial(extensions.ready, name=name)
        routes["GET", f"/v1/models/{name}"] = answering(ready)
    return routes


def _names(service: Service) -> Iterator[tuple[str, str | None]]:
    """Yield every model by its name alone, and with each of its versions."""
    models = service.models.all()
    yield from dict.fromkeys((model.name, None) for model in models)
    yield from ((model.name, model.version) for model in models)


def answering(handler: Callable[[Body], Reply]) -> Handler:
    """Answer what a handler raises."""

    def answer(body: Body = b"") -> Reply:
        try:
            return handler(body)
        except UnknownModelError as error:
            return error_reply(404, str(error))
        except NotAllowedError as error:
            return error_reply(403, str(error))
        except (MalformedError, ModelError) as error:
            return refusal(error)
        except EdgeError as error:
            return error_reply(500, str(error))

    return answer
