"""What this server answers beside inferences, whatever carries the bytes.

The hot path and the Flask app call the same methods, so both answer alike. A
server without a model is alive but not ready, and says why.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

from edge_runtime.http.envelope import Envelope
from edge_runtime.http.replies import Body, Reply, json_reply, refusal
from edge_runtime.inference.calls import Call, Decode, outcome_of, undecoded
from edge_runtime.measures import ModelMeasures
from edge_runtime.models.models import Models
from edge_runtime.models.served_model import ServedModel, own_measures
from packhorse.errors import MalformedError
from packhorse.inference import v2

SERVER_NAME = "packhorse-edge-runtime"
SERVER_VERSION = "0.1.0"
EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
)
"""Source: Open Inference Protocol, extensions; Triton, "Protocol extensions" """

ANSWER_S = 300.0
"""Longer than any run may take; only a mistake of ours makes a thread wait so."""

_LATER = (("Retry-After", "5"),)
"""As long as until a model that is not ready is tried again."""

Handler = Callable[[Body], Reply]


class Service:
    """Answers for the models of this process."""

    def __init__(self, models: Models) -> None:
        """Answer for `models`."""
        self.models = models
        self.submit: Callable[[Call], None] = _nowhere
        self.refused: Callable[[Call, str], None] = _nowhere
        self.measures_of: Callable[[ServedModel], ModelMeasures] = own_measures

    def live(self, _body: Body = b"") -> Reply:
        """Say that this process answers."""
        return json_reply(200, {"live": True})

    def ready(self, _body: Body = b"") -> Reply:
        """Say whether every model is loaded and warm, 503 and why where not."""
        if reason := self.models.reason:
            return json_reply(503, {"ready": False, "error": reason}, _LATER)
        return json_reply(200, {"ready": True})

    def model_ready(self, name: str, version: str | None = None) -> Reply:
        """Say whether one model is loaded and warm."""
        model = self.models.get(name, version)
        document = {"name": model.name, "ready": model.is_ready}
        if model.is_ready:
            return json_reply(200, document, model.headers)
        document["error"] = model.reason
        return json_reply(503, document, (*model.headers, *_LATER))

    def server_metadata(self, _body: Body = b"") -> Reply:
        """Describe the server as the protocol asks."""
        document = {
            "name": SERVER_NAME,
            "version": SERVER_VERSION,
            "extensions": EXTENSIONS,
        }
        return json_reply(200, document)

    def model_metadata(self, name: str, version: str | None = None) -> Reply:
        """Describe a model as the protocol asks."""
        model = self.models.get(name, version)
        document = {
            "name": model.name,
            "versions": self.models.versions(name),
            "platform": "onnxruntime_onnx",
            "inputs": v2.encode_specs(model.signature.inputs.values()),
            "outputs": v2.encode_specs(model.signature.outputs.values()),
        }
        return json_reply(200, document, model.headers)

    def infer(
        self,
        model: ServedModel,
        decode: Decode,
        envelope: Envelope,
        body: Body,
        limit_bytes: int,
    ) -> Reply:
        """Answer one inference from another thread than the event loop's."""
        answered: Future[Reply] = Future()
        arrived_s = time.perf_counter()
        try:
            call = decode(model, envelope, body, limit_bytes)
        except MalformedError as error:
            call = undecoded(model, envelope)
            call.arrived_s = arrived_s
            self.refused(call, outcome_of(error))
            return refusal(error, model.headers)
        call.arrived_s = arrived_s
        call.done = lambda reply, _outcome: answered.set_result(reply)
        self.submit(call)
        return answered.result(ANSWER_S)


def _nowhere(*_arguments: object) -> None:
    raise AssertionError("the server has not been started")
