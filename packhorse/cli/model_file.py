"""What an ONNX file says about its inputs and outputs, before anything is sent.

The engineer's own file is looked at here, to fail early and in plain words; the
cloud believes none of it and checks again.
"""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import TensorSpec

MODEL_MAX_BYTES = 2 * 1024**3
"""What one protobuf can hold."""

_DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


def read_signature(
    path: Path,
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and the outputs of the model in `path`.

    Raises:
        MalformedError: The file is no ONNX model, or has an input that is no tensor.
    """
    if path.stat().st_size > MODEL_MAX_BYTES:
        raise LimitExceededError(f"{path} is larger than {MODEL_MAX_BYTES} bytes")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise MalformedError(_no_model(path)) from error
    if not _is_model(model):
        raise MalformedError(_no_model(path))
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    return _specs(inputs), _specs(list(model.graph.output))


def _is_model(model: ModelProto) -> bool:
    """Tell a model from bytes that happen to parse, as a protobuf may."""
    return bool(model.ir_version and model.opset_import and model.graph.output)


def _no_model(path: Path) -> str:
    return f"{path} must be an ONNX model, and it is none"


def _specs(values: list[ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(value) for value in values)


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    datatype = _DATATYPES.get(tensor.elem_type)
    if datatype is None:
        raise MalformedError(
            f"{value.name!r} must be a tensor of numbers, truth values or text"
        )
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else -1
        for axis in tensor.shape.dim
    )
    return TensorSpec(value.name, datatype, shape)
