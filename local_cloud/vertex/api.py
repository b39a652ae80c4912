"""The REST methods of Vertex AI that this stand-in knows, and their routes.

Anything else is answered 404 with the path, as Google's front end does.

Source: the `google.api.http` options of model_service.proto,
endpoint_service.proto and prediction_service.proto
"""

import functools
import re
from collections.abc import Callable

from local_cloud.documents import Document, Store, Transaction
from local_cloud.google_http import (
    ApiError,
    Handler,
    RawReply,
    Reply,
    Request,
    find_route,
    json_reply,
)
from local_cloud.vertex import endpoints, models, names, operations
from local_cloud.vertex.endpoint_methods import EndpointMethods
from local_cloud.vertex.faults import Faults
from local_cloud.vertex.kinds import Door
from local_cloud.vertex.pages import begin_deletion, mask, page_of
from local_cloud.vertex.prediction import Predictor
from local_cloud.vertex.worker import Worker

_LOCATION = rf"(?P<name>{names.LOCATION})"
_MODEL = rf"(?P<name>{names.LOCATION}/models/[^/:]+)"
_ENDPOINT = rf"(?P<name>{names.LOCATION}/endpoints/[^/:]+)"
_OPERATION = (
    rf"(?P<name>{names.LOCATION}/((models|endpoints)/[^/:]+/)?operations/[^/:]+)"
)
_OPERATIONS = rf"(?P<name>{names.LOCATION}/(models|endpoints)/[^/:]+)/operations"

Method = Callable[[Request, str], Reply | RawReply]
Routes = list[tuple[str, re.Pattern[str], Method]]


class Api:
    """Finds the method for a request and calls it."""

    def __init__(
        self, store: Store, worker: Worker, predictor: Predictor, faults: Faults
    ) -> None:
        """Answer from the store; leave long work to the worker."""
        self._store = store
        self._worker = worker
        self._predictor = predictor
        self._endpoints = EndpointMethods(store, worker, faults)
        self._own_routes = self._prediction_routes(Door.OWN)
        routes: list[tuple[str, str, Method]] = [
            ("POST", f"{_LOCATION}/models:upload", self._upload_model),
            ("GET", f"{_LOCATION}/models", self._list_models),
            ("GET", f"{_MODEL}:listVersions", self._list_versions),
            ("DELETE", f"{_MODEL}:deleteVersion", self._delete_version),
            ("POST", f"{_MODEL}:mergeVersionAliases", self._merge_aliases),
            ("GET", _MODEL, self._get_model),
            ("PATCH", _MODEL, self._patch_model),
            ("DELETE", _MODEL, self._delete_model),
            ("POST", f"{_LOCATION}/endpoints", self._endpoints.create),
            ("GET", f"{_LOCATION}/endpoints", self._endpoints.list),
            ("POST", f"{_ENDPOINT}:deployModel", self._endpoints.deploy),
            ("POST", f"{_ENDPOINT}:undeployModel", self._endpoints.undeploy),
            ("GET", _ENDPOINT, self._endpoints.get),
            ("PATCH", _ENDPOINT, self._endpoints.patch),
            ("POST", f"{_ENDPOINT}:update", self._endpoints.update),
            ("DELETE", _ENDPOINT, self._endpoints.delete),
            ("GET", _OPERATION, self._get_operation),
            ("GET", _OPERATIONS, self._list_operations),
        ]
        # The generated clients poll operations under /ui/, as their http
        # options tell them to.
        self._routes = self._prediction_routes(Door.SHARED) + [
            (verb, re.compile(f"/(?:v1|ui)/{pattern}"), method)
            for verb, pattern, method in routes
        ]

    def handler(self, port: Door) -> Handler:
        """Return what answers on a port: a dedicated host knows predictions alone."""
        routes = self._routes if port is Door.SHARED else self._own_routes

        def handle(request: Request) -> Reply | RawReply:
            method, name = find_route(routes, request)
            return method(request, name)

        return handle

    def _prediction_routes(self, port: Door) -> Routes:
        raw = functools.partial(self._predictor.raw_predict, port=port)
        plain = functools.partial(self._predictor.predict, port=port)
        return [
            ("POST", re.compile(f"/v1/{_ENDPOINT}:rawPredict"), raw),
            ("POST", re.compile(f"/v1/{_ENDPOINT}:predict"), plain),
        ]

    def _upload_model(self, request: Request, parent: str) -> Reply:
        body = request.json_object()
        with self._store.transaction() as work:
            name = models.check_upload(work, parent, body)
            task: Document = {"do": "upload", "model": name, "version": body["model"]}
            task["is_new"] = not body.get("parentModel")
            operation = operations.begin(work, name, "UploadModel", task)
        return self._begun(operation)

    def _get_model(self, _request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            return json_reply(models.find_version(work, name))

    def _patch_model(self, request: Request, name: str) -> Reply:
        with self._store.transaction() as work:
            changed = models.change(work, name, request.json_object(), mask(request))
        return json_reply(changed)

    def _list_models(self, request: Request, parent: str) -> Reply:
        with self._store.reading() as work:
            found = models.list_models(work, parent, request.query.get("filter", ""))
        return page_of(request, "models", found)

    def _list_versions(self, request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            found = models.list_versions(work, name, request.query.get("filter", ""))
        return page_of(request, "models", found)

    def _merge_aliases(self, request: Request, name: str) -> Reply:
        changes = request.json_object().get("versionAliases")
        if not isinstance(changes, list) or not changes:
            raise ApiError("INVALID_ARGUMENT", "versionAliases: expected a list")
        with self._store.transaction() as work:
            return json_reply(models.merge_aliases(work, name, changes))

    def _delete_model(self, _request: Request, name: str) -> Reply:
        plain, _ = names.split_model_name(name)
        with self._store.transaction() as work:
            models.read_model(work, plain)
            _refuse_if_deployed(work, plain, "")
            operation = begin_deletion(work, "model", plain, plain)
        return self._begun(operation)

    def _delete_version(self, _request: Request, name: str) -> Reply:
        plain, _ = names.split_model_name(name)
        with self._store.transaction() as work:
            version = str(models.find_version(work, name)["versionId"])
            _refuse_if_deployed(work, plain, version)
            operation = begin_deletion(work, "version", name, plain)
        return self._begun(operation)

    def _get_operation(self, _request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            return json_reply(operations.shown(operations.read(work, name)))

    def _list_operations(self, request: Request, resource: str) -> Reply:
        with self._store.reading() as work:
            found = operations.list_on(work, resource)
        return page_of(
            request, "operations", [operations.shown(each) for each in found]
        )

    def _begun(self, operation: Document) -> Reply:
        self._worker.begin(operation)
        return json_reply(operations.shown(operation))


def _refuse_if_deployed(work: Transaction, model: str, version: str) -> None:
    for endpoint in work.all(endpoints.KIND):
        for deployed in endpoints.deployed_models(endpoint):
            is_it = version in {"", deployed["modelVersionId"]}
            if deployed["model"] == model and is_it:
                sentence = f"{model} is deployed on {endpoint['name']}."
                raise ApiError("FAILED_PRECONDITION", sentence)
