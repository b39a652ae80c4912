"""What an ONNX file must be before a runtime may open it.

Called in the child process alone, on a model that nobody vouches for. Nothing
in it is opened or computed here; only what it declares is looked at.

Source: ONNX IR specification; onnx.proto; docs/protocol.md, 7 "The pushed model"
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
)

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import (
    GOLDEN_FILE,
    MODEL_FILE,
    ONNX_DATATYPES,
    RuntimeNeeds,
    TensorSpec,
)

IR_VERSIONS = range(3, 15)
"""From the first that ONNX Runtime guarantees to the last that ours loads."""
OPSETS = {"": range(7, 29), "ai.onnx.ml": range(1, 6)}
"""By domain, the standard's own only: an operator of another one is code."""
NODES_MAX = 200_000
"""Ten times the largest graph in the ONNX model zoo."""
SUBGRAPHS_DEPTH_MAX = 8
TENSORS_MAX = 64
"""Inputs and outputs, each."""
SMALLEST_ELEMENT_PER_BYTE = 8
"""No datatype stores more elements in a byte."""

_MIN_RUNTIME = (
    # ONNX Runtime's release by what it first supports: (opset, IR, release).
    # What is newer than the last line is known of our own release only.
    # Source: ONNX Runtime, docs/Versioning.md
    (15, 8, "1.10.0"),
    (16, 8, "1.11.0"),
    (17, 8, "1.12.0"),
    (18, 8, "1.14.0"),
    (19, 9, "1.16.0"),
    (20, 9, "1.17.0"),
    (21, 10, "1.18.0"),
)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model asks for and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: RuntimeNeeds


def read_model(body: bytes, lengths: Mapping[str, int], *, runtime: str) -> ModelFacts:
    """Read a model and refuse what no runtime should see.

    Args:
        body: The content of `MODEL_FILE`.
        lengths: Length in bytes of every pushed file, by name.
        runtime: Release of ONNX Runtime that will try it, "1.32.0".

    Raises:
        MalformedError: It is no model, or one that is not supported; the message
            says what was expected and what came.
    """
    try:
        model = ModelProto.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"{MODEL_FILE} is no ONNX model") from error
    if not model.graph.node:
        raise MalformedError(f"{MODEL_FILE} is no ONNX model: its graph is empty")
    if model.functions or model.training_info:
        raise MalformedError(
            "the model has functions or training steps of its own; export it with "
            "functions inlined, for inference only"
        )
    _check_nodes(model)
    for tensor in _tensors(model.graph):
        _check_tensor(tensor, lengths)
    given = {tensor.name for tensor in model.graph.initializer}
    wanted = [value for value in model.graph.input if value.name not in given]
    return ModelFacts(
        inputs=_specs("input", wanted),
        outputs=_specs("output", list(model.graph.output)),
        needs=_needs(model, runtime),
    )


def _needs(model: ModelProto, runtime: str) -> RuntimeNeeds:
    if model.ir_version not in IR_VERSIONS:
        raise MalformedError(
            f"the model's IR version must lie in {_span(IR_VERSIONS)}, "
            f"not {model.ir_version}"
        )
    opsets = {
        _domain(entry.domain): entry.version
        for entry in model.opset_import
        # Exporters import domains that they do not use; only nodes count.
        if _domain(entry.domain) in OPSETS
    }
    for domain, version in opsets.items():
        if version not in OPSETS[domain]:
            raise MalformedError(
                f"the model's opset of {domain or 'ai.onnx'} must lie in "
                f"{_span(OPSETS[domain])}, not {version}"
            )
    return RuntimeNeeds(
        ir_version=model.ir_version,
        opsets=opsets,
        min_onnxruntime=_min_runtime(model.ir_version, opsets.get("", 0), runtime),
    )


def _min_runtime(ir_version: int, opset: int, runtime: str) -> str:
    for last_opset, last_ir, release in _MIN_RUNTIME:
        if opset <= last_opset and ir_version <= last_ir:
            return release
    return runtime


def _check_nodes(model: ModelProto) -> None:
    imported = {_domain(entry.domain) for entry in model.opset_import}
    for count, node in enumerate(_nodes(model.graph)):
        if count == NODES_MAX:
            raise LimitExceededError(f"a model may have {NODES_MAX} nodes")
        domain = _domain(node.domain)
        if domain not in OPSETS:
            raise MalformedError(
                f"the operator {node.op_type[:80]!r} is of the domain "
                f"{node.domain[:80]!r}; only ONNX's own are allowed"
            )
        if domain not in imported:
            raise MalformedError(
                f"the model imports no opset for the domain {domain or 'ai.onnx'!r}"
            )


def _check_tensor(tensor: TensorProto, lengths: Mapping[str, int]) -> None:
    """Refuse a tensor that lies elsewhere, or declares more than it can hold."""
    name = tensor.name[:80]
    length_bytes = lengths[MODEL_FILE]
    if tensor.data_location == TensorProto.EXTERNAL:
        length_bytes = _external_length(tensor, lengths)
    elements = math.prod(tensor.dims)
    if any(axis < 0 for axis in tensor.dims) or (
        elements > length_bytes * SMALLEST_ELEMENT_PER_BYTE
    ):
        raise LimitExceededError(
            f"tensor {name!r} declares the shape {list(tensor.dims)[:16]}, more than "
            f"the {length_bytes} bytes of its file can hold"
        )


def _external_length(tensor: TensorProto, lengths: Mapping[str, int]) -> int:
    """Return how many bytes of its file are the tensor's at most."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    length_bytes = lengths.get(location)
    if length_bytes is None or location in {MODEL_FILE, GOLDEN_FILE}:
        # Names of pushed files are plain, so no path gets past this.
        raise MalformedError(
            f"tensor {tensor.name[:80]!r} lies in {location[:80]!r}, which is none of "
            "the pushed files"
        )
    offset = _number(entries.get("offset", "0"))
    length = _number(entries.get("length", "0"))
    if offset + length > length_bytes:
        raise MalformedError(
            f"tensor {tensor.name[:80]!r} lies beyond the end of {location!r}, "
            f"which has {length_bytes} bytes"
        )
    return length or length_bytes - offset


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**63))):
        raise MalformedError(f"an offset or length is a number, not {text[:80]!r}")
    return int(text)


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    return (node for one in _graphs(graph) for node in one.node)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield every tensor that is stored anywhere in the model."""
    for one in _graphs(graph):
        yield from one.initializer
        for sparse in one.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in one.node:
            for attribute in node.attribute:
                yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = list(attribute.sparse_tensors)
    if attribute.HasField("sparse_tensor"):
        sparse.append(attribute.sparse_tensor)
    for one in sparse:
        yield from (one.values, one.indices)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield the graph and every subgraph in it."""
    left = [(graph, 0)]
    while left:
        one, depth = left.pop()
        if depth > SUBGRAPHS_DEPTH_MAX:
            raise LimitExceededError(
                f"a model's subgraphs may nest {SUBGRAPHS_DEPTH_MAX} deep"
            )
        yield one
        for node in one.node:
            for attribute in node.attribute:
                inner = list(attribute.graphs)
                if attribute.HasField("g"):
                    inner.append(attribute.g)
                left += [(subgraph, depth + 1) for subgraph in inner]


def _specs(side: str, values: list[ValueInfoProto]) -> tuple[TensorSpec, ...]:
    if not 1 <= len(values) <= TENSORS_MAX:
        raise LimitExceededError(
            f"a model may have 1..{TENSORS_MAX} {side}s, this one has {len(values)}"
        )
    return tuple(_spec(side, value) for value in values)


def _spec(side: str, value: ValueInfoProto) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        raise MalformedError(
            f"{side} {value.name[:80]!r} must be a tensor with a declared shape, "
            f"not {kind or 'untyped'}"
        )
    tensor = value.type.tensor_type
    datatype = ONNX_DATATYPES.get(tensor.elem_type)
    if datatype is None:
        raise MalformedError(
            f"{side} {value.name[:80]!r} has the ONNX element type "
            f"{tensor.elem_type}, which has no name in the inference protocol"
        )
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else -1
        for axis in tensor.shape.dim
    )
    return TensorSpec(value.name, datatype, shape)


def _domain(name: str) -> str:
    """Return a domain's one name: ONNX's own has two."""
    return "" if name == "ai.onnx" else name


def _span(versions: range) -> str:
    return f"{versions.start}..{versions.stop - 1}"
