"""Carry out long-running operations, each in a thread of its own.

What an operation changes is written in the transaction that marks it done, so
none is carried out twice, and one that was cut off is simply begun again.
"""

import threading
import traceback
from collections.abc import Callable

from local_cloud.documents import Document, Store, as_document
from local_cloud.google_http import ApiError
from local_cloud.vertex import endpoints, models, names, operations
from local_cloud.vertex.environment import ContainerSpec
from local_cloud.vertex.fleet import Fleet


class Worker:
    """Runs operations against the store and the fleet."""

    def __init__(self, store: Store, fleet: Fleet) -> None:
        """Run nothing yet."""
        self._store = store
        self._fleet = fleet
        self._tasks: dict[str, Callable[[str, Document], None]] = {
            "upload": self._upload,
            "create_endpoint": self._show_endpoint,
            "update_endpoint": self._show_endpoint,
            "deploy": self._deploy,
            "undeploy": self._undeploy,
            "delete": self._delete,
        }

    def take_up(self) -> None:
        """After a start: bring back containers and unfinished operations."""
        with self._store.reading() as work:
            deployed = [
                (str(endpoint["name"]), model)
                for endpoint in work.all(endpoints.KIND)
                for model in endpoints.deployed_models(endpoint)
            ]
            unfinished = operations.unfinished(work)
        for endpoint, model in deployed:
            self._fleet.start(self._spec(endpoint, model))
        for operation in unfinished:
            self.begin(operation)

    def begin(self, operation: Document) -> None:
        """Carry out an operation that is written already."""
        threading.Thread(target=self._run, args=(operation,), daemon=True).start()

    def _run(self, operation: Document) -> None:
        name, task = str(operation["name"]), as_document(operation["task"])
        try:
            self._tasks[str(task["do"])](name, task)
        except ApiError as error:
            self._fail(name, error)
        except Exception:  # noqa: BLE001  the last handler of this thread
            traceback.print_exc()
            self._fail(name, ApiError("INTERNAL", "Internal error encountered."))

    def _fail(self, name: str, error: ApiError) -> None:
        with self._store.transaction() as work:
            operations.fail(work, name, error)

    def _upload(self, name: str, task: Document) -> None:
        model, version = str(task["model"]), as_document(task["version"])
        with self._store.transaction() as work:
            if task["is_new"] and work.get(models.KIND, model) is not None:
                raise ApiError("ALREADY_EXISTS", f"The Model {model} exists already.")
            number = models.add_version(work, model, version)
            response: Document = {"model": model, "modelVersionId": number}
            operations.succeed(work, name, "UploadModelResponse", response)

    def _show_endpoint(self, name: str, task: Document) -> None:
        with self._store.transaction() as work:
            endpoint = endpoints.read(work, str(task["endpoint"]))
            operations.succeed(work, name, "Endpoint", endpoint)

    def _deploy(self, name: str, task: Document) -> None:
        endpoint, deployed = str(task["endpoint"]), as_document(task["deployed"])
        container = self._fleet.start(self._spec(endpoint, deployed))
        try:
            self._fleet.wait_until_healthy(container)
            with self._store.transaction() as work:
                endpoints.add_deployed(work, endpoint, deployed, task["split"])
                response: Document = {"deployedModel": deployed}
                operations.succeed(work, name, "DeployModelResponse", response)
        except ApiError:
            self._fleet.stop(endpoint, str(deployed["id"]))
            raise

    def _undeploy(self, name: str, task: Document) -> None:
        endpoint, deployed_id = str(task["endpoint"]), str(task["deployed_id"])
        with self._store.transaction() as work:
            endpoints.drop_deployed(work, endpoint, deployed_id, task["split"])
            operations.succeed(work, name, "UndeployModelResponse", {})
        self._fleet.stop(endpoint, deployed_id)

    def _delete(self, name: str, task: Document) -> None:
        removers = {
            "model": models.remove,
            "version": models.remove_version,
            "endpoint": endpoints.remove,
        }
        with self._store.transaction() as work:
            removers[str(task["kind"])](work, str(task["resource"]))
            operations.succeed(work, name, "", {})

    def _spec(self, endpoint: str, deployed: Document) -> ContainerSpec:
        """Look up what the container of a deployed model is started with."""
        model, _ = names.split_model_name(str(deployed["model"]))
        version_id = str(deployed["modelVersionId"])
        with self._store.reading() as work:
            version = models.find_version(work, f"{model}@{version_id}")
        return ContainerSpec(
            endpoint=endpoint,
            deployed_id=str(deployed["id"]),
            model=model,
            version_id=version_id,
            artifact_uri=str(version.get("artifactUri") or ""),
            container=as_document(version.get("containerSpec") or {}),
        )
