"""What this server answers, whatever carries the bytes.

The hot path and the Flask app call the same methods, so both answer alike.
A service has one release, or none: then it is alive but not ready, and says why.
"""

import time
from collections.abc import Callable, Mapping

from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.model_session import ModelSession
from edge_runtime.recent import RecentExchanges
from edge_runtime.replies import Headers, Reply, error_reply, json_reply, refusal
from packhorse.errors import MalformedError, TensorError
from packhorse.inference import v2, vertex
from packhorse.names import Release

Body = bytes | bytearray
Handler = Callable[[Body], Reply]

RELEASE_HEADER = "X-Packhorse-Release"


class ModelService:
    """Answers for one model in memory, or for none."""

    def __init__(
        self,
        release: Release | None = None,
        session: ModelSession | None = None,
        *,
        reason: str = "no release is installed yet",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve `session` as `release`; without them say `reason`."""
        self.release = release
        self.reason = "" if release else reason
        self.recent = RecentExchanges()
        self._session = session
        self._clock = clock
        self._inputs = {s.name: s for s in session.inputs} if session else {}
        self._outputs = {s.name: s for s in session.outputs} if session else {}
        self._headers: Headers = ((RELEASE_HEADER, str(release)),) if release else ()

    def infer(self, body: Body) -> Reply:
        """Answer a request of the Open Inference Protocol, version 2."""
        return self._guarded(body, self._infer)

    def predict(self, body: Body) -> Reply:
        """Answer Vertex AI's `instances`."""
        return self._guarded(body, self._predict)

    def answer_any(self, body: Body) -> Reply:
        """Answer either protocol, told apart by the body: Vertex AI has one route."""
        return self._guarded(body, self._answer_any)

    def live(self, _body: Body = b"") -> Reply:
        """Say that this process answers."""
        return json_reply(200, {"live": True})

    def ready(self, _body: Body = b"") -> Reply:
        """Say whether a model is loaded and warm, 503 and why where not."""
        if self.release is None:
            return json_reply(503, {"ready": False, "error": self.reason})
        return json_reply(200, {"ready": True}, self._headers)

    def server_metadata(self) -> Reply:
        """Describe the server as the protocol asks."""
        return json_reply(
            200,
            {"name": "packhorse-edge-runtime", "version": "0.1.0", "extensions": []},
        )

    def model_metadata(self) -> Reply:
        """Describe the model as the protocol asks."""
        if self.release is None or self._session is None:
            return error_reply(503, self.reason)
        document = {
            "name": self.release.model,
            "versions": [str(self.release.version)],
            "platform": "onnx_onnxruntime",
            "inputs": v2.encode_specs(self._session.inputs),
            "outputs": v2.encode_specs(self._session.outputs),
        }
        return json_reply(200, document, self._headers)

    def refuse_other(self, model: str, version: str | None) -> Reply | None:
        """Refuse a model or version that is not served here; None when it is."""
        if self.release is None:
            return error_reply(503, self.reason)
        if model == self.release.model and version in (None, str(self.release.version)):
            return None
        asked = model if version is None else f"{model}@{version}"
        return error_reply(404, f"expected {self.release}, came {asked[:80]!r}")

    def _guarded(
        self, body: Body, answer: Callable[[ModelSession, Release, Body], Reply]
    ) -> Reply:
        """Answer, or say what was wrong with the request or the model.

        Raises:
            OverrunError: The model was stopped; the server may give it more time.
        """
        if self._session is None or self.release is None:
            return error_reply(503, self.reason, (("Retry-After", "5"),))
        try:
            return answer(self._session, self.release, body)
        except OverrunError:
            raise
        except (MalformedError, ModelError) as error:
            return refusal(error, self._headers)

    def _infer(self, session: ModelSession, release: Release, body: Body) -> Reply:
        return self._infer_document(session, release, v2.decode_body(body))

    def _predict(self, session: ModelSession, _release: Release, body: Body) -> Reply:
        return self._predict_document(session, v2.decode_body(body))

    def _answer_any(self, session: ModelSession, release: Release, body: Body) -> Reply:
        document = v2.decode_body(body)
        if "instances" in document:
            return self._predict_document(session, document)
        if "inputs" in document:
            return self._infer_document(session, release, document)
        raise TensorError("a request needs 'instances' or 'inputs'")

    def _infer_document(
        self, session: ModelSession, release: Release, document: Mapping[str, object]
    ) -> Reply:
        request = v2.decode_request(document, self._inputs, self._outputs)
        outputs = session.run(request.inputs, request.outputs)
        self.recent.add(request.inputs, outputs, at_s=self._clock())
        body = v2.encode_response(release, request.id, outputs)
        return Reply(200, body, headers=self._headers)

    def _predict_document(
        self, session: ModelSession, document: Mapping[str, object]
    ) -> Reply:
        inputs = vertex.decode_instances(document, self._inputs)
        outputs = session.run(inputs)
        self.recent.add(inputs, outputs, at_s=self._clock())
        count = len(next(iter(inputs.values())))
        return Reply(
            200, vertex.encode_predictions(outputs, count), headers=self._headers
        )
