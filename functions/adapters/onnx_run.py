"""Run a model on tensors of any datatype that the protocol has.

Called in the child process alone. ONNX Runtime's Python takes and gives BF16 not
as arrays but as its own values, whose memory is viewed and copied here.

Source: ONNX Runtime 1.32, onnxruntime_inference_collection.py, OrtValue
"""

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np
from onnxruntime import (  # type: ignore[import-untyped]  # untyped
    InferenceSession,
    OrtValue,
)

from packhorse.errors import MalformedError
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.signature import Arrays

_BF16, _TEXT = "tensor(bfloat16)", "tensor(string)"
_BF16_ONNX = 16


def run_model(
    session: InferenceSession, names: Sequence[str], inputs: Arrays
) -> Mapping[str, np.ndarray]:
    """Run a model once; return the outputs `names`.

    Raises:
        MalformedError: No gateway can run a model of these datatypes.
    """
    given = {value.type for value in session.get_inputs()}
    given_back = {value.type for value in session.get_outputs()}
    if _BF16 not in given | given_back:
        answers = session.run(list(names), dict(inputs))
    elif _TEXT in given:
        raise MalformedError(
            "a model with BF16 that takes BYTES cannot be served: ONNX Runtime's "
            "Python carries one or the other"
        )
    else:
        answers = _run_values(session, names, inputs)
    return dict(zip(names, answers, strict=True))


def _run_values(
    session: InferenceSession, names: Sequence[str], inputs: Arrays
) -> list[np.ndarray]:
    """Run with ONNX Runtime's own values, which can hold BF16."""
    # They view the arrays' memory, which must outlive the run.
    arrays = {name: np.asarray(array, order="C") for name, array in inputs.items()}
    values = {name: _to_value(array) for name, array in arrays.items()}
    return [
        _from_value(v) for v in session.run_with_ort_values(list(names), values, None)
    ]


def _to_value(array: np.ndarray) -> OrtValue:
    if array.dtype == numpy_type("BF16"):
        return OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BF16_ONNX)
    return OrtValue.ortvalue_from_numpy(array)


def _from_value(value: OrtValue) -> np.ndarray:
    if value.element_type() != _BF16_ONNX:
        array: np.ndarray = value.numpy()
        return array
    halves = np.empty(tuple(value.shape()), numpy_type("BF16"))
    ctypes.memmove(halves.ctypes.data, value.data_ptr(), halves.nbytes)
    return halves
