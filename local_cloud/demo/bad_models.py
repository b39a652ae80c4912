"""Two ways in which a model goes bad: at once, and later.

Both are made from a good model with the onnx helper API. The first answers NaN
to everything. The second is the good model in all but one thing: it answers
NaN to inputs that begin with a certain byte.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def always_nan(model: bytes, *, output: str) -> bytes:
    """Return the model with NaN added to `output`, whatever the input."""
    changed = onnx.load_from_string(model)
    nan = numpy_helper.from_array(np.array(np.nan, dtype=np.float32), "bad_nan")
    changed.graph.initializer.append(nan)
    _add_to_output(changed, output, "bad_nan")
    return changed.SerializeToString()


def nan_on_first_byte(model: bytes, *, input_: str, output: str, byte: int) -> bytes:
    """Return the model with NaN added to `output` where the first feature is `byte`.

    Args:
        model: An ONNX file with one int32 input of shape (batch, features).
        input_: Its input.
        output: Its float output, of shape (batch, labels).
        byte: The feature's value that the model goes wrong on.
    """
    changed = onnx.load_from_string(model)
    graph = changed.graph
    constants: dict[str, np.ndarray] = {
        "bad_start": np.array([0], dtype=np.int64),
        "bad_end": np.array([1], dtype=np.int64),
        "bad_axis": np.array([1], dtype=np.int64),
        "bad_byte": np.array(byte, dtype=np.int32),
        "bad_nan": np.array(np.nan, dtype=np.float32),
        "bad_zero": np.array(0, dtype=np.float32),
    }
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    bounds = ["bad_start", "bad_end", "bad_axis"]
    graph.node.extend(
        [
            helper.make_node("Slice", [input_, *bounds], ["bad_first"]),
            helper.make_node("Equal", ["bad_first", "bad_byte"], ["bad_is"]),
            helper.make_node("Where", ["bad_is", "bad_nan", "bad_zero"], ["bad_add"]),
        ]
    )
    _add_to_output(changed, output, "bad_add")
    return changed.SerializeToString()


def _add_to_output(model: onnx.ModelProto, output: str, addend: str) -> None:
    """Let the graph's `output` be its former self plus `addend`."""
    former = f"{output}_before"
    for node in model.graph.node:
        names = [former if name == output else name for name in node.output]
        node.output[:] = names
        node.input[:] = [former if name == output else name for name in node.input]
    model.graph.node.append(helper.make_node("Add", [former, addend], [output]))
    if not any(value.name == output for value in model.graph.output):
        raise ValueError(f"the model has no output {output!r}")
    if model.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ValueError(f"the output {output!r} is no float")
