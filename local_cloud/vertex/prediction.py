"""Online prediction on a shared public endpoint.

A request reaches the one predict route of one container, and of the request
only the body and its `Content-Type`: nothing promises that Vertex AI forwards a
path or any other header, so this forwards none, in either direction.

Source: google/cloud/aiplatform/v1/prediction_service.proto; "Choose an
inference endpoint type" (1.5 MB, 60 s)
"""

import json
import random
from collections.abc import Callable

import urllib3

from local_cloud.documents import Document, Store
from local_cloud.google_http import ApiError, Reply, Request, json_reply
from local_cloud.vertex import endpoints, models, splits
from local_cloud.vertex.container import Container
from local_cloud.vertex.fleet import Fleet

REQUEST_MAX_BYTES = 1_572_864
"""A shared endpoint takes 1.5 MB, which it counts as 1.5 MiB."""

_DEFAULT_TYPE = "application/json"
_CHOICES = 3
"""So often another container is chosen when the chosen one is being undeployed."""
_OK = 200


class Predictor:
    """Answers `:rawPredict` and `:predict`."""

    def __init__(
        self, store: Store, fleet: Fleet, draw: Callable[[], float] = random.random
    ) -> None:
        """Choose among deployed models with `draw`, a number in [0, 1)."""
        self._store = store
        self._fleet = fleet
        self._draw = draw

    def raw_predict(self, request: Request, endpoint: str) -> Reply:
        """Pass the body to the container and its answer back, as they are."""
        content_type = request.headers.get("content-type", _DEFAULT_TYPE)
        deployed, answer = self._ask(endpoint, request.body, content_type)
        headers = {
            "Content-Type": answer.headers.get("Content-Type", _DEFAULT_TYPE),
            "X-Vertex-AI-Endpoint-Id": endpoint.rsplit("/", 1)[1],
            "X-Vertex-AI-Deployed-Model-Id": str(deployed["id"]),
        }
        return Reply(answer.status, answer.data, headers)

    def predict(self, request: Request, endpoint: str) -> Reply:
        """Pass `instances` to the container, and say which model answered."""
        if not isinstance(request.json_object().get("instances"), list):
            raise ApiError("INVALID_ARGUMENT", "instances: expected a list")
        deployed, answer = self._ask(endpoint, request.body, _DEFAULT_TYPE)
        if answer.status != _OK:
            text = answer.data.decode(errors="replace")
            raise ApiError(_word(answer.status), text, code=answer.status)
        return json_reply(
            {
                **_predictions(answer.data),
                "deployedModelId": deployed["id"],
                "model": deployed["model"],
                "modelDisplayName": self._display_name(deployed),
                "modelVersionId": deployed["modelVersionId"],
            }
        )

    def _ask(
        self, endpoint: str, body: bytes, content_type: str
    ) -> tuple[Document, urllib3.BaseHTTPResponse]:
        """Return the answer of one deployed model, and which one it was."""
        if len(body) > REQUEST_MAX_BYTES:
            sentence = (
                f"Request payload size exceeds the limit: {REQUEST_MAX_BYTES} bytes."
            )
            raise ApiError("INVALID_ARGUMENT", sentence)
        for _ in range(_CHOICES):
            deployed = self._choose(endpoint)
            container = self._fleet.find(endpoint, str(deployed["id"]))
            if container is None:
                continue
            with container.borrowed() as is_there:
                if is_there:
                    return deployed, _forward(container, body, content_type)
        raise ApiError("UNAVAILABLE", "The deployed model is not there; try again.")

    def _choose(self, endpoint: str) -> Document:
        with self._store.reading() as work:
            found = endpoints.read(work, endpoint)
        split = endpoints.split_of(found)
        if not split:
            sentence = (
                f"The Endpoint: {endpoint} doesn't have traffic_split set, "
                "so it cannot process traffic."
            )
            raise ApiError("FAILED_PRECONDITION", sentence)
        chosen = splits.choose(split, self._draw())
        return next(m for m in endpoints.deployed_models(found) if m["id"] == chosen)

    def _display_name(self, deployed: Document) -> object:
        name = f"{deployed['model']}@{deployed['modelVersionId']}"
        with self._store.reading() as work:
            return models.find_version(work, name)["displayName"]


def _forward(
    container: Container, body: bytes, content_type: str
) -> urllib3.BaseHTTPResponse:
    """Ask the container, once more when it closed the connection unasked."""
    if not container.is_healthy:
        raise ApiError("UNAVAILABLE", "The model server is not healthy; try again.")
    try:
        try:
            return container.predict(body, content_type)
        except urllib3.exceptions.ProtocolError:
            return container.predict(body, content_type)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ApiError("DEADLINE_EXCEEDED", "The model gave no answer.") from error
    except urllib3.exceptions.HTTPError as error:
        raise ApiError("UNAVAILABLE", "The model server cannot be reached.") from error


def _predictions(body: bytes) -> Document:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict) or "predictions" not in value:
        sentence = "the model server answered 200 without `predictions`"
        raise ApiError("INTERNAL", sentence)
    return value


def _word(status: int) -> str:
    words = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE"}
    return words.get(status, "INTERNAL")
