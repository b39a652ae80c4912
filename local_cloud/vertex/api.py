"""The REST methods of Vertex AI that this stand-in knows, and their routes.

Anything else is answered 404 with the path, as Google's front end does.

Source: the `google.api.http` options of model_service.proto,
endpoint_service.proto and prediction_service.proto
"""

import re
from collections.abc import Callable

from local_cloud.documents import Document, Store, Transaction, as_document
from local_cloud.google_http import (
    ApiError,
    Reply,
    Request,
    find_route,
    json_reply,
    timestamp_now,
)
from local_cloud.vertex import endpoints, models, names, operations
from local_cloud.vertex.prediction import Predictor
from local_cloud.vertex.worker import Worker

PAGE_SIZE = 100
_LOCATION = rf"(?P<name>{names.LOCATION})"
_MODEL = rf"(?P<name>{names.LOCATION}/models/[^/:]+)"
_ENDPOINT = rf"(?P<name>{names.LOCATION}/endpoints/[^/:]+)"
_OPERATION = (
    rf"(?P<name>{names.LOCATION}/((models|endpoints)/[^/:]+/)?operations/[^/:]+)"
)
_OPERATIONS = rf"(?P<name>{names.LOCATION}/(models|endpoints)/[^/:]+)/operations"

Method = Callable[[Request, str], Reply]


class Api:
    """Finds the method for a request and calls it."""

    def __init__(self, store: Store, worker: Worker, predictor: Predictor) -> None:
        """Answer from the store; leave long work to the worker."""
        self._store = store
        self._worker = worker
        routes: list[tuple[str, str, Method]] = [
            ("POST", f"{_ENDPOINT}:rawPredict", predictor.raw_predict),
            ("POST", f"{_ENDPOINT}:predict", predictor.predict),
            ("POST", f"{_LOCATION}/models:upload", self._upload_model),
            ("GET", f"{_LOCATION}/models", self._list_models),
            ("GET", f"{_MODEL}:listVersions", self._list_versions),
            ("DELETE", f"{_MODEL}:deleteVersion", self._delete_version),
            ("POST", f"{_MODEL}:mergeVersionAliases", self._merge_aliases),
            ("GET", _MODEL, self._get_model),
            ("PATCH", _MODEL, self._patch_model),
            ("DELETE", _MODEL, self._delete_model),
            ("POST", f"{_LOCATION}/endpoints", self._create_endpoint),
            ("GET", f"{_LOCATION}/endpoints", self._list_endpoints),
            ("POST", f"{_ENDPOINT}:deployModel", self._deploy_model),
            ("POST", f"{_ENDPOINT}:undeployModel", self._undeploy_model),
            ("GET", _ENDPOINT, self._get_endpoint),
            ("PATCH", _ENDPOINT, self._patch_endpoint),
            ("DELETE", _ENDPOINT, self._delete_endpoint),
            ("GET", _OPERATION, self._get_operation),
            ("GET", _OPERATIONS, self._list_operations),
        ]
        # The generated clients poll operations under /ui/, as their http
        # options tell them to.
        self._routes = [
            (verb, re.compile(f"/(?:v1|ui)/{pattern}"), method)
            for verb, pattern, method in routes
        ]

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        method, name = find_route(self._routes, request)
        return method(request, name)

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
            changed = models.change(work, name, request.json_object(), _mask(request))
        return json_reply(changed)

    def _list_models(self, request: Request, parent: str) -> Reply:
        with self._store.reading() as work:
            found = models.list_models(work, parent, request.query.get("filter", ""))
        return _page(request, "models", found)

    def _list_versions(self, request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            found = models.list_versions(work, name, request.query.get("filter", ""))
        return _page(request, "models", found)

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
            operation = _begin_deletion(work, "model", plain, plain)
        return self._begun(operation)

    def _delete_version(self, _request: Request, name: str) -> Reply:
        plain, _ = names.split_model_name(name)
        with self._store.transaction() as work:
            version = str(models.find_version(work, name)["versionId"])
            _refuse_if_deployed(work, plain, version)
            operation = _begin_deletion(work, "version", name, plain)
        return self._begun(operation)

    def _create_endpoint(self, request: Request, parent: str) -> Reply:
        wanted = request.query.get("endpointId", "")
        with self._store.transaction() as work:
            name = endpoints.create(work, parent, request.json_object(), wanted)
            task: Document = {"do": "create_endpoint", "endpoint": name}
            operation = operations.begin(work, name, "CreateEndpoint", task)
        return self._begun(operation)

    def _get_endpoint(self, _request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            return json_reply(endpoints.read(work, name))

    def _list_endpoints(self, request: Request, parent: str) -> Reply:
        text = request.query.get("filter", "")
        with self._store.reading() as work:
            found = endpoints.list_endpoints(work, parent, text)
        return _page(request, "endpoints", found)

    def _patch_endpoint(self, request: Request, name: str) -> Reply:
        body = request.json_object()
        with self._store.transaction() as work:
            return json_reply(endpoints.change(work, name, body, _mask(request)))

    def _delete_endpoint(self, _request: Request, name: str) -> Reply:
        with self._store.transaction() as work:
            if endpoints.deployed_models(endpoints.read(work, name)):
                sentence = f"The Endpoint {name} has deployed models."
                raise ApiError("FAILED_PRECONDITION", sentence)
            operation = _begin_deletion(work, "endpoint", name, name)
        return self._begun(operation)

    def _deploy_model(self, request: Request, name: str) -> Reply:
        body = request.json_object()
        with self._store.transaction() as work:
            task = _deployment(work, name, body)
            operation = operations.begin(work, name, "DeployModel", task)
        return self._begun(operation)

    def _undeploy_model(self, request: Request, name: str) -> Reply:
        body = request.json_object()
        deployed_id = str(body.get("deployedModelId", ""))
        split = body.get("trafficSplit")
        task: Document = {"do": "undeploy", "endpoint": name, "split": split}
        task["deployed_id"] = deployed_id
        with self._store.transaction() as work:
            endpoint = endpoints.read(work, name)
            endpoints.split_after_undeployment(endpoint, split, deployed_id)
            operation = operations.begin(work, name, "UndeployModel", task)
        return self._begun(operation)

    def _get_operation(self, _request: Request, name: str) -> Reply:
        with self._store.reading() as work:
            return json_reply(operations.shown(operations.read(work, name)))

    def _list_operations(self, request: Request, resource: str) -> Reply:
        with self._store.reading() as work:
            found = operations.list_on(work, resource)
        return _page(request, "operations", [operations.shown(each) for each in found])

    def _begun(self, operation: Document) -> Reply:
        self._worker.begin(operation)
        return json_reply(operations.shown(operation))


def _deployment(work: Transaction, name: str, body: Document) -> Document:
    """Check a deployment and return it as a task."""
    endpoint = endpoints.read(work, name)
    wanted = body.get("deployedModel")
    if not isinstance(wanted, dict):
        raise ApiError("INVALID_ARGUMENT", "deployedModel: expected a DeployedModel")
    version = models.find_version(work, str(wanted.get("model")))
    deployed_id = endpoints.new_deployed_id(work, endpoint, wanted.get("id"))
    _refuse_if_being_deployed(work, name, deployed_id)
    split = body.get("trafficSplit")
    endpoints.split_after_deployment(endpoint, split, deployed_id)
    plain, _ = names.split_model_name(str(version["name"]))
    deployed = {
        **wanted,
        "id": deployed_id,
        "model": plain,
        "modelVersionId": version["versionId"],
        "displayName": wanted.get("displayName") or version["displayName"],
        "createTime": timestamp_now(),
    }
    return {"do": "deploy", "endpoint": name, "deployed": deployed, "split": split}


def _refuse_if_being_deployed(work: Transaction, name: str, deployed_id: str) -> None:
    for operation in operations.unfinished(work):
        task = as_document(operation["task"])
        same = task["do"] == "deploy" and task["endpoint"] == name
        if same and as_document(task["deployed"])["id"] == deployed_id:
            sentence = f"DeployedModel {deployed_id} is being deployed on {name}."
            raise ApiError("ALREADY_EXISTS", sentence)


def _refuse_if_deployed(work: Transaction, model: str, version: str) -> None:
    for endpoint in work.all(endpoints.KIND):
        for deployed in endpoints.deployed_models(endpoint):
            is_it = version in {"", deployed["modelVersionId"]}
            if deployed["model"] == model and is_it:
                sentence = f"{model} is deployed on {endpoint['name']}."
                raise ApiError("FAILED_PRECONDITION", sentence)


def _begin_deletion(work: Transaction, kind: str, name: str, owner: str) -> Document:
    task: Document = {"do": "delete", "kind": kind, "resource": name}
    return operations.begin(work, owner, "Delete", task)


def _mask(request: Request) -> set[str]:
    """Return the fields of `updateMask`, in camelCase."""
    fields = request.query.get("updateMask", "").split(",")
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), f.strip()) for f in fields if f}


def _page(request: Request, key: str, found: list[Document]) -> Reply:
    """Return one page; the page token is where the next one begins."""
    size = int(request.query.get("pageSize") or PAGE_SIZE) or PAGE_SIZE
    begin = int(request.query.get("pageToken") or 0)
    page: Document = {key: found[begin : begin + size]}
    if begin + size < len(found):
        page["nextPageToken"] = str(begin + size)
    return json_reply(page)
