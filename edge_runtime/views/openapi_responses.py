"""What each kind of route can answer, for the API document."""

from dataclasses import dataclass
from typing import Final

from edge_runtime.http.head import HEAD_MAX_BYTES
from edge_runtime.views.metrics import CONTENT_TYPE as METRICS_TYPE
from edge_runtime.views.openapi_schemas import Schema

Operation = dict[str, object]
Responses = dict[str, object]

JSON = "application/json"
BINARY = "application/octet-stream"
PAGE = "text/html; charset=utf-8"

_ERROR: Final[Schema] = {"$ref": "#/components/schemas/Error"}
_READY: Final[Schema] = {"$ref": "#/components/schemas/Ready"}

_DESCRIPTIONS: Final = {
    "400": "The request contradicts itself, the protocol or the model.",
    "401": "No token came, or another server's.",
    "403": "A setting must allow it first.",
    "404": "No such model is served any more.",
    "408": "The request took too long to arrive.",
    "413": "The body, or what it inflates to, is too long; or a tensor too large.",
    "415": "The content coding is neither gzip nor deflate.",
    "417": "The only expectation met is 100-continue.",
    "431": f"The head is longer than {HEAD_MAX_BYTES} bytes, or has too many lines.",
    "500": "The model failed, or this server made a mistake.",
    "501": "A transfer coding, or another protocol, that is not spoken here.",
    "503": "No model is loaded, or too many requests wait: come back later.",
    "504": "There was no answer within the time that the request or the server allows.",
    "505": "This server speaks HTTP/1.1.",
}
_ALWAYS: Final = ("400", "408", "413", "417", "431", "500", "501", "503", "505")
"""What a connection can be answered whatever it asks for."""

_INFERENCE: Final = ("404", "415", "504")


_BODY: Final = (
    "At most {} bytes, also once inflated where Content-Encoding is gzip or deflate."
    " As octets: the JSON, then the tensors that have a `binary_data_size`, one after"
    " the other; the header Inference-Header-Content-Length is the JSON's length."
)


@dataclass(frozen=True, slots=True)
class Answers:
    """Describes operations by what they can answer.

    Attributes:
        body_max_bytes: Longest body that is taken.
        needs_token: Whether requests need one.
    """

    body_max_bytes: int
    needs_token: bool = False

    def told(self, summary: str, *more: str) -> Operation:
        """Describe what is answered with a JSON object."""
        return self._operation(summary, _json({"type": "object"}, "It is this."), *more)

    def told_of_model(self, summary: str) -> Operation:
        """Describe what is told of a model, as long as that is there."""
        return self.told(summary, "404")

    def page(self, summary: str) -> Operation:
        """Describe what is for people, and for programs that do not ask for a page."""
        content = {PAGE: {}, JSON: {"schema": {"type": "object"}}}
        answer: Responses = {"description": "A page, or JSON.", "content": content}
        still = {
            "name": "still",
            "in": "query",
            "allowEmptyValue": True,
            "description": "The page does not load itself again.",
            "schema": {"type": "string"},
        }
        return self._operation(summary, answer) | {"parameters": [still]}

    def metrics(self, summary: str) -> Operation:
        """Describe the measures."""
        content = {METRICS_TYPE: {"schema": {"type": "string"}}}
        return self._operation(summary, {"description": "Text.", "content": content})

    def health(self, summary: str) -> Operation:
        """Describe a question that is answered with yes or no; health needs no token.

        503 says no.
        """
        operation = self._operation(summary, _json(_READY, "Yes."), "404")
        no = _json({"anyOf": [_READY, _ERROR]}, "No, and why; or too many wait.")
        responses = operation["responses"]
        assert isinstance(responses, dict)  # noqa: S101 - made below
        responses["503"] = no
        return operation

    def asked(self, summary: str, schema: Schema, *more: str) -> Operation:
        """Describe what takes a JSON object, which may be left out."""
        given: Schema = {"type": ["object", "array"]}
        operation = self._operation(summary, _json(given, "Done."), "404", *more)
        body = {"required": False, "content": {JSON: {"schema": schema}}}
        return operation | {"requestBody": body}

    def infer(self, summary: str, asked: Schema, given: Schema) -> Operation:
        """Describe what runs a model."""
        answer = _json(given, "What the model gives.")
        answer["content"] = {JSON: {"schema": given}, BINARY: {}}
        answer["headers"] = {
            "X-Packhorse-Release": {
                "description": "Name and version of the model that answered.",
                "schema": {"type": "string"},
            }
        }
        body = {
            "required": True,
            "description": _BODY.format(self.body_max_bytes),
            "content": {JSON: {"schema": asked}, BINARY: {}},
        }
        operation = self._operation(summary, answer, *_INFERENCE)
        return operation | {"requestBody": body}

    def schemas(self) -> dict[str, Schema]:
        """Return the schemas that all routes share."""
        sentence = {"error": {"type": "string", "minLength": 1}}
        return {
            "Error": {
                "type": "object",
                "required": ["error"],
                "properties": sentence,
            },
            "Ready": {
                "type": "object",
                "properties": {
                    "live": {"type": "boolean"},
                    "ready": {"type": "boolean"},
                    "name": {"type": "string"},
                    **sentence,
                },
            },
        }

    def components(self) -> Responses:
        """Return the refusals that operations refer to."""
        return {
            f"Status{status}": _json(_ERROR, text)
            for status, text in _DESCRIPTIONS.items()
        }

    def security_schemes(self) -> dict[str, object]:
        """Return how a client shows who it is."""
        if not self.needs_token:
            return {}
        return {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}

    def _operation(self, summary: str, answer: Responses, *more: str) -> Operation:
        refusals = {*_ALWAYS, *more} | ({"401"} if self.needs_token else set())
        responses: Responses = {"200": answer}
        for status in sorted(refusals):
            responses[status] = {"$ref": f"#/components/responses/Status{status}"}
        operation: Operation = {"summary": summary, "responses": responses}
        return operation | ({"security": [{"token": []}]} if self.needs_token else {})


def _json(schema: Schema, description: str) -> Responses:
    return {"description": description, "content": {JSON: {"schema": schema}}}
