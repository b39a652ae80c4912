"""From a request's bytes to a call that waits for its run, and back to a reply.

Three protocols lead here, whichever transport carried them: the Open Inference
Protocol, `instances` as Vertex AI and KServe's first protocol write them, and
Vertex AI's one route, where the body tells which of the two it is.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from edge_runtime.http.codings import deflate, inflate
from edge_runtime.http.envelope import Envelope
from edge_runtime.http.replies import JSON, Body, Reply
from edge_runtime.inference.json_body import decode_document
from edge_runtime.models.served_model import ServedModel
from packhorse.errors import LimitExceededError, MalformedError, TensorError
from packhorse.inference import v2, vertex
from packhorse.inference.signature import Arrays

Document = Mapping[str, object]

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
VERTEX_BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size="
"""Source: Triton, "Vertex AI integration" """


@dataclass(slots=True, eq=False)
class Call:
    """One decoded request, until it is answered.

    Attributes:
        outputs: Names of the outputs that are wanted; None for all.
        encode: Turns what the model gave into the reply's body.
        timeout_s: Time from its arrival after which nobody waits; None for ever.
        arrived_s: `time.perf_counter()` when its last byte was there.
        rows: Length of axis 0 of its first input; 1 where that has none.
        key: Calls with equal keys may be run together.
        is_long: Whether it is run in a thread, however short the model is.
        done: Takes the reply and what became of the call, once.
        timer: Says that it is late, where it has a time-out.
        inflated_bytes: What its body took once its coding was off.
    """

    model: ServedModel
    inputs: Arrays
    outputs: tuple[str, ...] | None
    encode: Callable[[Arrays], Reply]
    envelope: Envelope
    timeout_s: float | None
    request_id: str = ""
    arrived_s: float = 0.0
    rows: int = 1
    key: object = None
    done: Callable[[Reply, str], None] = field(default=lambda _reply, _outcome: None)
    timer: asyncio.TimerHandle | None = None
    is_answered: bool = False
    inflated_bytes: int = 0
    is_long: bool = False


def undecoded(model: ServedModel, envelope: Envelope) -> Call:
    """Return what is known of a request whose body tells nothing: it is never run."""
    return Call(model, {}, None, _never, envelope, None, rows=0)


def _never(_outputs: Arrays) -> Reply:
    raise AssertionError("a request that was not decoded has no answer")


def outcome_of(error: MalformedError) -> str:
    """Return what a request that cannot be decoded counts as."""
    return "too_large" if isinstance(error, LimitExceededError) else "malformed"


def rows_of(inputs: Arrays) -> int:
    """Return how many rows a request has, as far as that can be said."""
    shape = next(iter(inputs.values())).shape if inputs else ()
    return shape[0] if shape else 1


Decode = Callable[[ServedModel, Envelope, Body, int], Call]
"""Takes a model, a request's envelope and body, and the limit on what is inflated."""

Read = Callable[[ServedModel, Envelope, Document, memoryview | None], Call]


def _decode(
    read: Read, model: ServedModel, envelope: Envelope, body: Body, limit_bytes: int
) -> Call:
    """Take the coding off, and the JSON and what follows it apart.

    Raises:
        MalformedError: The request contradicts itself or the model.
    """
    if envelope.body_coding:
        body = inflate(body, envelope.body_coding, limit_bytes)
    text, binary = body, None
    if envelope.json_bytes is not None:
        text, binary = _split(body, envelope.json_bytes)
    call = read(model, envelope, decode_document(text), binary)
    if envelope.body_coding:
        call.inflated_bytes = len(body)
    return call


def _split(body: Body, count: int) -> tuple[memoryview, memoryview]:
    """Return the body's JSON of `count` bytes, and what follows it."""
    if count > len(body):
        raise TensorError(
            f"the JSON before the binary tensors is said to be {count} bytes long,"
            f" the body is {len(body)}"
        )
    view = memoryview(body)
    return view[:count], view[count:]


def _infer(
    model: ServedModel,
    envelope: Envelope,
    document: Document,
    binary: memoryview | None,
) -> Call:
    request = v2.decode_request(document, model.signature, binary)
    return Call(
        model,
        request.inputs,
        request.outputs,
        partial(_encode_infer, model, envelope, request),
        envelope,
        _shortest(envelope.timeout_s, request.timeout_s),
        request.id,
    )


def _predict(
    model: ServedModel,
    envelope: Envelope,
    document: Document,
    binary: memoryview | None,
) -> Call:
    if binary is not None:
        raise TensorError(
            f"'instances' are JSON alone: expected no {JSON_LENGTH_HEADER}, came one;"
            " send bytes as base64, or by the Open Inference Protocol"
        )
    request = vertex.decode_instances(document, model.signature)
    return Call(
        model,
        request.inputs,
        None,
        partial(_encode_predict, model, envelope, request.count),
        envelope,
        _shortest(envelope.timeout_s, request.timeout_s),
    )


def _either(
    model: ServedModel,
    envelope: Envelope,
    document: Document,
    binary: memoryview | None,
) -> Call:
    if "instances" in document:
        return _predict(model, envelope, document, binary)
    if "inputs" in document:
        # This is Vertex AI's route. Of an answer's headers its type alone is passed
        # on, so binary outputs that a request in JSON asked for need it too.
        return _infer(model, envelope._replace(is_vertex=True), document, binary)
    raise TensorError("a request needs 'instances' or 'inputs'")


decode_infer: Decode = partial(_decode, _infer)
"""Decodes a request of the Open Inference Protocol, version 2."""

decode_predict: Decode = partial(_decode, _predict)
"""Decodes `instances`."""

decode_either: Decode = partial(_decode, _either)
"""Decodes either, told apart by the body."""


def _encode_infer(
    model: ServedModel, envelope: Envelope, request: v2.InferRequest, outputs: Arrays
) -> Reply:
    body, json_bytes = v2.encode_response(model.name, model.version, request, outputs)
    if json_bytes is None:
        reply = Reply(200, body, JSON, model.headers)
    else:
        headers = (*model.headers, (JSON_LENGTH_HEADER, str(json_bytes)))
        kind = f"{VERTEX_BINARY}{json_bytes}" if envelope.is_vertex else BINARY
        reply = Reply(200, body, kind, headers)
    return deflate(reply, envelope.answer_coding) if envelope.answer_coding else reply


def _encode_predict(
    model: ServedModel, envelope: Envelope, count: int, outputs: Arrays
) -> Reply:
    body = vertex.encode_predictions(outputs, count)
    reply = Reply(200, body, JSON, model.headers)
    return deflate(reply, envelope.answer_coding) if envelope.answer_coding else reply


def _shortest(of_header_s: float | None, of_body_s: float | None) -> float | None:
    """Return how long the client waits: the least of what it says."""
    if of_header_s is None or of_body_s is None:
        return of_body_s if of_header_s is None else of_header_s
    return min(of_header_s, of_body_s)
