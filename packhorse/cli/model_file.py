"""What an ONNX file says about itself, before anything is sent.

The engineer's own file is looked at here, to fail early and in plain words; the
cloud believes none of it and checks again.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto, ValueInfoProto

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import ONNX_DATATYPES, TensorSpec

MODEL_MAX_BYTES = 2 * 1024**3 - 1
"""What one protobuf can hold."""


_KINDS = {
    b"version https://git-lfs": "is a Git LFS pointer: run `git lfs pull` first",
    b"PK\x03\x04": "is a zip archive; a PyTorch file must be exported to ONNX first",
    b"\x89HDF": "is HDF5; a Keras model must be converted to ONNX first",
    b"\x93NUMPY": "is a numpy array",
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
}
"""What people push by mistake, by how it begins."""
_LOOK_BYTES = 512
_TEXT = frozenset(string.printable.encode())


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model says about itself.

    Attributes:
        locations: Where it says that weights lie, outside of itself.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    locations: frozenset[str]


def read_model(path: Path) -> ModelFacts:
    """Read what the model in `path` says about itself.

    Raises:
        LimitExceededError: It is larger than one protobuf can be.
        MalformedError: The file is no ONNX model, or has an input that is no tensor.
    """
    body = _read(path)
    try:
        model = onnx.load_model_from_string(body)
    except DecodeError as error:
        raise _no_model(path, body) from error
    if not _is_model(model):
        raise _no_model(path, body)
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    return ModelFacts(
        inputs=tuple(_spec(value, path) for value in inputs),
        outputs=tuple(_spec(value, path) for value in model.graph.output),
        locations=frozenset(_locations(model)),
    )


def _read(path: Path) -> bytes:
    length_bytes = path.stat().st_size
    if length_bytes > MODEL_MAX_BYTES:
        raise LimitExceededError(
            f"{path} may have {MODEL_MAX_BYTES:,} bytes, as much as one protobuf can "
            f"hold, and has {length_bytes:,}; save the weights as external data"
        )
    with path.open("rb") as stream:
        return stream.read(MODEL_MAX_BYTES)


def _is_model(model: ModelProto) -> bool:
    """Tell a model from bytes that happen to parse, as a protobuf may."""
    return bool(model.ir_version and model.opset_import and model.graph.output)


def _no_model(path: Path, body: bytes) -> MalformedError:
    return MalformedError(f"{path} must be an ONNX model, and {_what_came(body)}")


def _what_came(body: bytes) -> str:
    if not body:
        return "is empty"
    for beginning, what in _KINDS.items():
        if body.startswith(beginning):
            return what
    if not set(body[:_LOOK_BYTES]) - _TEXT:
        return "is text"
    return "cannot be read as one; was it cut short while it was copied?"


def _spec(value: ValueInfoProto, path: Path) -> TensorSpec:
    tensor = value.type.tensor_type
    datatype = ONNX_DATATYPES.get(tensor.elem_type)
    if datatype is None:
        raise MalformedError(
            f"{path}: {value.name!r} must be a tensor of numbers, truth values or text"
        )
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else -1
        for axis in tensor.shape.dim
    )
    return TensorSpec(value.name, datatype, shape)


def _locations(message: Message) -> Iterator[str]:
    """Yield every place outside of the model where it says that weights lie."""
    if isinstance(message, TensorProto):
        if message.data_location == TensorProto.EXTERNAL:
            yield from (e.value for e in message.external_data if e.key == "location")
        return
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                yield from _locations(cast("Message", part))
