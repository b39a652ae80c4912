"""Vertex AI's prediction JSON: `instances` in, `predictions` out.

An instance is one row of the batch: for a model with one input the row itself
(a number, or nested lists), for any model an object of rows by input name. The
rows must agree in shape; together they make the input, axis 0 counting them.
A prediction likewise: the row of a model's only output, else an object of rows
by output name.

Source: Vertex AI, "Custom container requirements for inference", "Prediction"
"""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.tensors import check_shape, decode_array
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

INSTANCES_MAX = 65_536
"""Rows of one request; Vertex AI's own limit in bytes is reached far sooner."""

Arrays = Mapping[str, np.ndarray]


def decode_instances(
    document: Mapping[str, object], inputs: Mapping[str, TensorSpec]
) -> dict[str, np.ndarray]:
    """Read the instances of a prediction request.

    Args:
        document: The request's JSON object.
        inputs: What the model takes, by name; axis 0 of each is the batch.

    Returns:
        Arrays by input name, each of shape (instances, ...).

    Raises:
        TensorError: An instance contradicts the others or the model.
        LimitExceededError: There are more than `INSTANCES_MAX`.
    """
    instances = document.get("instances")
    if not isinstance(instances, list) or not instances:
        raise TensorError("a request needs the list 'instances', with one or more")
    if len(instances) > INSTANCES_MAX:
        raise LimitExceededError(
            f"at most {INSTANCES_MAX} instances, came {len(instances)}"
        )
    if not isinstance(document.get("parameters") or {}, dict):
        raise TensorError("'parameters' must be an object")
    rows = _rows_by_input(instances, inputs)
    return {name: _stack(inputs[name], rows[name]) for name in inputs}


def encode_predictions(outputs: Arrays, count: int) -> bytes:
    """Write the predictions for `count` instances.

    Raises:
        TensorError: An output has no axis 0 of that length, so it cannot be
            divided among the instances.
    """
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != count:
            raise TensorError(
                f"output {name!r} has the shape {list(array.shape)} for {count}"
                " instances; ask for it by the Open Inference Protocol"
            )
    rows = {name: _rows(array) for name, array in outputs.items()}
    predictions: object
    if len(rows) == 1:
        predictions = next(iter(rows.values()))
    else:
        predictions = [
            {name: values[index] for name, values in rows.items()}
            for index in range(count)
        ]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def _rows_by_input(
    instances: Sequence[object], inputs: Mapping[str, TensorSpec]
) -> dict[str, list[object]]:
    """Sort the instances' rows by input."""
    if not any(isinstance(instance, dict) for instance in instances):
        if len(inputs) != 1:
            raise TensorError(
                f"an instance must be an object with the inputs {sorted(inputs)}"
            )
        return {name: list(instances) for name in inputs}
    rows: dict[str, list[object]] = {name: [] for name in inputs}
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != inputs.keys():
            raise TensorError(
                f"instance {index}: expected an object with the inputs"
                f" {sorted(inputs)}, came {_fields(instance)}"
            )
        for name, row in instance.items():
            rows[name].append(row)
    return rows


def _stack(spec: TensorSpec, rows: list[object]) -> np.ndarray:
    """Make one array of the rows."""
    if not spec.shape:
        raise TensorError(
            f"input {spec.name!r} has no batch axis; ask by the Open Inference Protocol"
        )
    shape = check_shape(spec, [len(rows), *_row_shape(rows[0])])
    return decode_array(spec, shape, rows)


def _row_shape(row: object) -> list[int]:
    """Return the lengths of the first lists; `decode_array` compares the others."""
    shape: list[int] = []
    while isinstance(row, list) and len(shape) <= DIMENSIONS_MAX:
        shape.append(len(row))
        row = row[0] if row else None
    return shape


def _rows(array: np.ndarray) -> np.ndarray | list[object]:
    """Return the rows in a form that orjson writes."""
    if array.dtype.kind in "OUS":
        rows: list[object] = array.tolist()
        return rows
    return np.ascontiguousarray(array)


def _fields(instance: object) -> str:
    """Name what came instead of the inputs."""
    if isinstance(instance, dict):
        return str(sorted(instance))[:200]
    return "a list" if isinstance(instance, list) else "a single value"
