"""Describe what a loaded model takes and gives, or refuse what cannot be served.

Served are dense tensors of the protocol's datatypes. What is no tensor, a
sequence, a map or a sparse tensor, has no form in any of the protocols.

Source: ONNX, "Open Neural Network Exchange Intermediate Representation", types
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from edge_runtime.errors import ModelError
from packhorse.errors import MalformedError
from packhorse.inference.signature import Signature
from packhorse.manifest import TensorSpec

TEXT = "BYTES"
BF16 = "BF16"

_DATATYPES: Mapping[str, str] = MappingProxyType(
    {
        "tensor(bool)": "BOOL",
        "tensor(uint8)": "UINT8",
        "tensor(uint16)": "UINT16",
        "tensor(uint32)": "UINT32",
        "tensor(uint64)": "UINT64",
        "tensor(int8)": "INT8",
        "tensor(int16)": "INT16",
        "tensor(int32)": "INT32",
        "tensor(int64)": "INT64",
        "tensor(float16)": "FP16",
        "tensor(bfloat16)": BF16,
        "tensor(float)": "FP32",
        "tensor(double)": "FP64",
        "tensor(string)": TEXT,
    }
)
_OPTIONAL = re.compile(r"optional\((.+)\)")


class Node(Protocol):
    """ONNX Runtime's word on one input or output."""

    name: str
    type: str
    shape: Sequence[int | str | None] | None


class Session(Protocol):
    """ONNX Runtime's session, as far as it is asked here."""

    def get_inputs(self) -> Sequence[Node]:
        """Return what must be given, and what is of an optional type."""

    def get_outputs(self) -> Sequence[Node]:
        """Return what it gives."""

    def get_overridable_initializers(self) -> Sequence[Node]:
        """Return what the model has values for that a request may replace."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What a model takes and gives.

    Attributes:
        inputs: What must be given.
        outputs: What it gives.
        signature: Both, and what may be given.
        batch_axis: Whether axis 0 may be the same free axis everywhere.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature: Signature
    batch_axis: bool


def describe_signature(session: Session, unranked: Collection[str]) -> Sides:
    """Describe a loaded model.

    Args:
        session: The model.
        unranked: Inputs that do not say how many axes they have.

    Raises:
        ModelError: It takes or gives what cannot be served.
    """
    nodes = list(session.get_inputs())
    for node in nodes:
        if node.name in unranked:
            raise ModelError(f"input {node.name!r} must say how many axes it has")
    needed = [node for node in nodes if _OPTIONAL.fullmatch(node.type) is None]
    optional = [node for node in nodes if node not in needed]
    optional += session.get_overridable_initializers()
    inputs = tuple(_spec("input", node) for node in needed)
    others = [_spec("input", node, is_optional=True) for node in optional]
    outputs = tuple(_spec("output", node) for node in session.get_outputs())
    signature = Signature(
        {spec.name: spec for spec in (*inputs, *others)},
        {spec.name: spec for spec in outputs},
        frozenset(spec.name for spec in others),
    )
    has_axis = not others and _has_batch_axis(needed, session.get_outputs())
    return Sides(inputs, outputs, signature, has_axis)


def _spec(side: str, node: Node, *, is_optional: bool = False) -> TensorSpec:
    """Describe one input or output; names of axes become -1."""
    kind = node.type
    if is_optional and (match := _OPTIONAL.fullmatch(kind)) is not None:
        kind = match[1]
    datatype = _DATATYPES.get(kind)
    if datatype is None:
        raise ModelError(
            f"{side} {node.name!r} is {node.type}; served are tensors of"
            f" {', '.join(sorted(_DATATYPES.values()))}"
        )
    shape = tuple(_axis(axis) for axis in node.shape or ())
    try:
        return TensorSpec(node.name, datatype, shape)
    except MalformedError as error:
        raise ModelError(f"{side} {node.name!r} cannot be served: {error}") from error


def _axis(axis: object) -> int:
    """Return an axis' length, -1 where the model leaves it open."""
    return axis if isinstance(axis, int) and axis >= 0 else -1


def _has_batch_axis(inputs: Sequence[Node], outputs: Sequence[Node]) -> bool:
    """Say whether axis 0 is free in all tensors, and has one name in all inputs.

    Outputs' axes often have names that a converter made up, or none; whether they
    are the inputs' axis is measured.
    """
    nodes = (*inputs, *outputs)
    if not inputs or not all(n.shape and _axis(n.shape[0]) == -1 for n in nodes):
        return False
    return len({n.shape[0] for n in inputs if n.shape and n.shape[0]}) <= 1
