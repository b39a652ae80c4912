"""The REST methods of endpoints, and their routes.

Source: the `google.api.http` options of endpoint_service.proto
"""

from local_cloud.documents import Document, Store, Transaction, as_document
from local_cloud.google_http import (
    ApiError,
    RawReply,
    Reply,
    Request,
    json_reply,
    timestamp_now,
)
from local_cloud.vertex import endpoints, models, names, operations, wire
from local_cloud.vertex.faults import Faults
from local_cloud.vertex.pages import begin_deletion, mask, page_of
from local_cloud.vertex.worker import Worker


class EndpointMethods:
    """Reads and writes endpoints; leaves long work to the worker."""

    def __init__(self, store: Store, worker: Worker, faults: Faults) -> None:
        """Answer from the store."""
        self._store = store
        self._worker = worker
        self._faults = faults

    def create(self, request: Request, parent: str) -> Reply:
        """Begin to make an endpoint."""
        wanted = request.query.get("endpointId", "")
        with self._store.transaction() as work:
            name = endpoints.create(work, parent, request.json_object(), wanted)
            task: Document = {"do": "create_endpoint", "endpoint": name}
            operation = operations.begin(work, name, "CreateEndpoint", task)
        return self._begun(operation)

    def get(self, request: Request, name: str) -> Reply | RawReply:
        """Return an endpoint, or what the fault set for it wants."""
        token = request.headers.get("authorization", "")
        fault = self._faults.draw("reads", name, "", token)

        def read() -> Reply:
            with self._store.reading() as work:
                return json_reply(endpoints.read(work, name))

        return wire.answer(fault, name, read) if fault else read()

    def list(self, request: Request, parent: str) -> Reply:
        """Return the endpoints of a location."""
        text = request.query.get("filter", "")
        with self._store.reading() as work:
            found = endpoints.list_endpoints(work, parent, text)
        return page_of(request, "endpoints", found)

    def patch(self, request: Request, name: str) -> Reply:
        """Overwrite the masked fields."""
        body = request.json_object()
        with self._store.transaction() as work:
            return json_reply(endpoints.change(work, name, body, mask(request)))

    def update(self, request: Request, name: str) -> Reply:
        """Change how long a prediction may take; nothing else, as Vertex AI does."""
        wanted = as_document(request.json_object().get("endpoint") or {})
        config = wanted.get("clientConnectionConfig")
        with self._store.transaction() as work:
            endpoints.set_connection(work, name, config)
            task: Document = {"do": "update_endpoint", "endpoint": name}
            operation = operations.begin(work, name, "UpdateEndpoint", task)
        return self._begun(operation)

    def delete(self, _request: Request, name: str) -> Reply:
        """Begin to delete an endpoint with nothing deployed on it."""
        with self._store.transaction() as work:
            if endpoints.deployed_models(endpoints.read(work, name)):
                sentence = f"The Endpoint {name} has deployed models."
                raise ApiError("FAILED_PRECONDITION", sentence)
            operation = begin_deletion(work, "endpoint", name, name)
        return self._begun(operation)

    def deploy(self, request: Request, name: str) -> Reply:
        """Begin to deploy a model version."""
        body = request.json_object()
        with self._store.transaction() as work:
            task = _deployment(work, name, body)
            operation = operations.begin(work, name, "DeployModel", task)
        return self._begun(operation)

    def undeploy(self, request: Request, name: str) -> Reply:
        """Begin to take a deployed model away."""
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
