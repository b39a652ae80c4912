"""Online prediction: from an endpoint to one of its containers and back.

A request reaches the one predict route of one container, and of the request
only the body and its `Content-Type`: nothing promises that Vertex AI forwards a
path or any other header, so this forwards none, in either direction.

Source: google/cloud/aiplatform/v1/prediction_service.proto
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import urllib3

from local_cloud.documents import Document, Store
from local_cloud.google_http import ApiError, RawReply, Reply, Request, json_reply
from local_cloud.vertex import endpoints, kinds, models, splits, wire
from local_cloud.vertex.container import Container
from local_cloud.vertex.faults import Faults
from local_cloud.vertex.fleet import Fleet

_DEFAULT_TYPE = "application/json"
_CHOICES = 3
"""So often another container is chosen when the chosen one is being undeployed."""
_OK = 200


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of a container."""

    endpoint: str
    body: bytes
    content_type: str
    timeout_s: float


_Present = Callable[[Document, urllib3.BaseHTTPResponse], Reply]


class Predictor:
    """Answers `:rawPredict` and `:predict`."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        faults: Faults,
        *,
        shared_timeout_s: float = kinds.SHARED_TIMEOUT_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Choose among deployed models with `draw`, a number in [0, 1)."""
        self._store = store
        self._fleet = fleet
        self._faults = faults
        self._shared_timeout_s = shared_timeout_s
        self._draw = draw

    def raw_predict(
        self, request: Request, endpoint: str, *, port: kinds.Door
    ) -> Reply | RawReply:
        """Pass the body to the container and its answer back, as they are."""
        content_type = request.headers.get("content-type", _DEFAULT_TYPE)
        found, question = self._admit(request, endpoint, port, content_type)

        def present(deployed: Document, answer: urllib3.BaseHTTPResponse) -> Reply:
            headers = {
                "Content-Type": answer.headers.get("Content-Type", _DEFAULT_TYPE),
                "X-Vertex-AI-Endpoint-Id": endpoint.rsplit("/", 1)[1],
                "X-Vertex-AI-Deployed-Model-Id": str(deployed["id"]),
            }
            return Reply(answer.status, answer.data, headers)

        return self._answer(request, found, question, present)

    def predict(
        self, request: Request, endpoint: str, *, port: kinds.Door
    ) -> Reply | RawReply:
        """Pass `instances` to the container, and say which model answered."""
        found, question = self._admit(request, endpoint, port, _DEFAULT_TYPE)
        if not isinstance(request.json_object().get("instances"), list):
            raise ApiError("INVALID_ARGUMENT", "instances: expected a list")

        def present(deployed: Document, answer: urllib3.BaseHTTPResponse) -> Reply:
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

        return self._answer(request, found, question, present)

    def _admit(
        self, request: Request, endpoint: str, port: kinds.Door, content_type: str
    ) -> tuple[Document, _Question]:
        """Check the host and the size; return the endpoint and what to ask."""
        with self._store.reading() as work:
            found = endpoints.read(work, endpoint)
        kinds.check_door(request, found, port)
        kind = kinds.kind_of(found, shared_timeout_s=self._shared_timeout_s)
        if len(request.body) > kind.request_max_bytes:
            sentence = "Request payload size exceeds the limit:"
            limit = f"{kind.request_max_bytes} bytes."
            raise ApiError("INVALID_ARGUMENT", f"{sentence} {limit}")
        return found, _Question(endpoint, request.body, content_type, kind.timeout_s)

    def _answer(
        self,
        request: Request,
        endpoint: Document,
        question: _Question,
        present: _Present,
    ) -> Reply | RawReply:
        """Choose who answers; let the request meet the fault that is set, if any."""
        deployed = self._choose(endpoint)
        token = request.headers.get("authorization", "")
        fault = self._faults.draw(
            "predictions", question.endpoint, str(deployed["id"]), token
        )

        def ask() -> Reply:
            return present(*self._ask(deployed, question))

        return wire.answer(fault, question.endpoint, ask) if fault else ask()

    def _ask(
        self, deployed: Document, question: _Question
    ) -> tuple[Document, urllib3.BaseHTTPResponse]:
        """Return the answer of one deployed model, and which one it was."""
        for _ in range(_CHOICES):
            container = self._fleet.find(question.endpoint, str(deployed["id"]))
            if container is not None:
                with container.borrowed() as is_there:
                    if is_there:
                        return deployed, _forward(container, question)
            with self._store.reading() as work:
                endpoint = endpoints.read(work, question.endpoint)
            deployed = self._choose(endpoint)
        raise ApiError("UNAVAILABLE", "The deployed model is not there; try again.")

    def _choose(self, endpoint: Document) -> Document:
        split = endpoints.split_of(endpoint)
        if not split:
            sentence = (
                f"The Endpoint: {endpoint['name']} doesn't have traffic_split set, "
                "so it cannot process traffic."
            )
            raise ApiError("FAILED_PRECONDITION", sentence)
        chosen = splits.choose(split, self._draw())
        return next(m for m in endpoints.deployed_models(endpoint) if m["id"] == chosen)

    def _display_name(self, deployed: Document) -> object:
        name = f"{deployed['model']}@{deployed['modelVersionId']}"
        with self._store.reading() as work:
            return models.find_version(work, name)["displayName"]


def _forward(container: Container, question: _Question) -> urllib3.BaseHTTPResponse:
    """Ask the container, once more when it closed the connection unasked."""
    if not container.is_healthy:
        raise ApiError("UNAVAILABLE", "The model server is not healthy; try again.")
    body, content_type = question.body, question.content_type
    timeout_s = question.timeout_s
    try:
        try:
            return container.predict(body, content_type, timeout_s=timeout_s)
        except urllib3.exceptions.ProtocolError:
            return container.predict(body, content_type, timeout_s=timeout_s)
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
