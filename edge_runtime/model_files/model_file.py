"""What an ONNX model's file says that ONNX Runtime does not tell, or not in time.

Read before ONNX Runtime opens the file. This looks only at fields that lead to
what is wanted; weights are stepped over, not read.

Source: onnx/onnx.proto
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ModelError
from edge_runtime.model_files.protobuf import Buffer, fields, mapped

DEPTH_MAX = 64
"""Graphs nest in loops and branches; real models stay under ten levels."""

_PATHS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Input", 15: "SparseTensor"},
    "Node": {4: "Operator", 5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
"""By message: which of its fields lead, by way of which message, to a leaf.

Leaves are an `Entry` of a tensor's external data, a node's `Operator`, and an
`Input` of a graph.
"""

_OUTERMOST = 1
_OPTIONAL, _TENSOR, _SHAPE = 9, 1, 2

Leaf = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model's file says.

    Attributes:
        locations: Every path that it names as a tensor's external data.
        operators: Names of the operators that it uses, wherever they stand.
        unranked: Inputs that do not say how many axes they have.
    """

    locations: frozenset[str]
    operators: frozenset[str]
    unranked: frozenset[str]


def read_model_file(path: Path) -> ModelFile:
    """Walk a model's file.

    Raises:
        ModelError: The file is no protobuf message, or nests too deep.
        OSError: It cannot be read.
    """
    with mapped(path) as body:
        leaves = set(_leaves(body, "Model", (0, len(body)), 0))
        found: dict[str, set[str]] = {"Entry": set(), "Operator": set(), "Input": set()}
        for kind, start, end in leaves:
            found[kind].update(_READ[kind](body, start, end))
    return ModelFile(
        locations=frozenset(found["Entry"]),
        operators=frozenset(found["Operator"]),
        unranked=frozenset(found["Input"]),
    )


def _leaves(
    body: Buffer, message: str, span: tuple[int, int], depth: int
) -> Iterator[Leaf]:
    """Yield the leaves inside one message."""
    if depth > DEPTH_MAX:
        raise ModelError(f"the model nests more than {DEPTH_MAX} messages deep")
    leads_to = _PATHS[message]
    for field, start, end in fields(body, *span):
        kind = leads_to.get(field)
        if kind == "Input" and depth > _OUTERMOST:
            continue  # of a loop's body, say: those never come from outside
        if kind in _READ:
            yield kind, start, end
        elif kind is not None:
            yield from _leaves(body, kind, (start, end), depth + 1)


def _location(body: Buffer, start: int, end: int) -> Iterator[str]:
    """Yield the value of a key-value entry whose key is `location`."""
    entry = _message(body, start, end)
    if entry.get(1) == b"location":
        yield _text(entry.get(2, b""))


def _operator(body: Buffer, start: int, end: int) -> Iterator[str]:
    """Yield an operator's name."""
    yield _text(body[start:end])


def _unranked(body: Buffer, start: int, end: int) -> Iterator[str]:
    """Yield an input's name where its type has no shape at all."""
    value = _message(body, start, end)
    kind = _message(value.get(2, b""))
    if _OPTIONAL in kind:
        kind = _message(_message(kind[_OPTIONAL]).get(1, b""))
    if _TENSOR in kind and _SHAPE not in _message(kind[_TENSOR]):
        yield _text(value.get(1, b""))


_READ = {"Entry": _location, "Operator": _operator, "Input": _unranked}


def _message(body: Buffer, start: int = 0, end: int | None = None) -> dict[int, bytes]:
    """Return a small message's fields by number; the last one counts."""
    end = len(body) if end is None else end
    return {number: body[a:b] for number, a, b in fields(body, start, end)}


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
