"""Vertex AI's prediction JSON: `instances` in, `predictions` out.

An instance is one row of the batch: for a model with one input the row itself
(a value, or nested lists), for any model an object of rows by input name. The
rows must agree in shape; together they make the input, axis 0 counting them.
A prediction likewise: the row of a model's only output, else an object of rows
by output name. KServe's first protocol is the same.

Source: Vertex AI, "Custom container requirements for inference", "Prediction";
KServe, "V1 Protocol"
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.base64_rows import (
    FIELD,
    decode_row,
    decode_texts,
    is_base64,
)
from packhorse.inference.datatypes import json_values
from packhorse.inference.layout import (
    TEXTS_MAX,
    Layout,
    check_shape,
    describe_shape,
    make_layout,
    short,
)
from packhorse.inference.parameters import read_parameters, read_timeout_s
from packhorse.inference.signature import Arrays, Signature
from packhorse.inference.tensors import Numbers, decode_array, is_numbers
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

INSTANCES_MAX = 65_536
"""Rows of one request; Vertex AI's own limit in bytes is reached far sooner."""

_LIST_TYPES = frozenset({list, str, int, float, bool, type(None)})
"""What rows consist of, but for bytes in an object, and `Numbers`."""


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """What a client asks for.

    Attributes:
        inputs: Arrays by input name, each of shape (count, ...).
        count: How many instances came.
        timeout_s: How long the client waits; None where it does not say.
    """

    inputs: Arrays
    count: int
    timeout_s: float | None = None


def decode_instances(
    document: Mapping[str, object], signature: Signature
) -> PredictRequest:
    """Read the instances of a prediction request.

    Args:
        document: The request's JSON object.
        signature: What the model takes; axis 0 of each input is the batch.

    Raises:
        TensorError: An instance contradicts the others or the model.
        LimitExceededError: There are too many, or a tensor is too large.
    """
    instances = document.get("instances")
    timeout_s = None
    if "parameters" in document:
        timeout_s = read_timeout_s(read_parameters(document))
    if is_numbers(instances):
        arrays, count = _from_numbers(instances, signature)
        return PredictRequest(arrays, count, timeout_s)
    if type(instances) is not list:
        came = "which is missing" if instances is None else f"came {short(instances)}"
        raise TensorError(f"a request needs the list 'instances', {came}")
    count = _check_count(len(instances))
    rows = _rows_by_input(instances, signature)
    arrays = {name: _stack(signature, name, rows[name]) for name in rows}
    return PredictRequest(arrays, count, timeout_s)


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
    rows = {name: json_values(array) for name, array in outputs.items()}
    predictions: object
    if len(rows) == 1:
        predictions = next(iter(rows.values()))
    else:
        predictions = [
            {name: values[index] for name, values in rows.items()}
            for index in range(count)
        ]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def _from_numbers(instances: Numbers, signature: Signature) -> tuple[Arrays, int]:
    """Read the only input's rows, which are numbers throughout."""
    spec = _only_input(signature)
    lengths = instances.lengths
    if lengths is None:
        raise TensorError(
            f"input {spec.name!r}: the instances' lists must agree in their lengths"
        )
    count = _check_count(lengths[0])
    layout = _find_layout(signature, spec, lengths)
    rows: object = instances
    if spec.datatype == "BYTES":
        rows = decode_texts(spec, instances.to_list())
    return {spec.name: decode_array(layout, rows)}, count


def _check_count(count: int) -> int:
    """Return how many rows a request has, refusing none and too many."""
    if count == 0:
        raise TensorError("'instances' must hold one or more, came none")
    if count > INSTANCES_MAX:
        raise LimitExceededError(f"at most {INSTANCES_MAX} instances, came {count}")
    return count


def _rows_by_input(
    instances: Sequence[object], signature: Signature
) -> dict[str, Sequence[object]]:
    """Sort the instances' rows by input."""
    if dict not in set(map(type, instances)):
        return {_only_input(signature).name: instances}
    if len(signature.inputs) == 1 and FIELD not in signature.inputs:
        (name,) = signature.inputs
        if all(type(i) is not dict or is_base64(i) for i in instances):
            return {name: instances}
    rows: dict[str, list[object]] = {}
    for index, instance in enumerate(instances):
        if type(instance) is not dict or not instance.keys() <= signature.inputs.keys():
            raise _wrong_fields(index, instance, signature)
        for name, row in instance.items():
            rows.setdefault(name, []).append(row)
    _check_rows(rows, instances, signature)
    return dict(rows)


def _check_rows(
    rows: Mapping[str, Sequence[object]],
    instances: Sequence[object],
    signature: Signature,
) -> None:
    """Refuse instances that do not all give the same inputs, or not all needed."""
    needed = set(rows).union(signature.inputs.keys() - signature.optional)
    for index, instance in enumerate(instances):
        if isinstance(instance, dict) and instance.keys() != needed:
            raise _wrong_fields(index, instance, signature)


def _stack(signature: Signature, name: str, rows: Sequence[object]) -> np.ndarray:
    """Make one array of the rows."""
    spec = signature.inputs[name]
    if spec.datatype == "BYTES":
        texts = [decode_texts(spec, _plain(spec, row)) for row in rows]
        return _stack_lists(signature, spec, texts)
    if _LIST_TYPES.issuperset(map(type, rows)):
        return _stack_lists(signature, spec, rows)
    return _stack_arrays(signature, spec, rows)


def _stack_lists(
    signature: Signature, spec: TensorSpec, rows: Sequence[object]
) -> np.ndarray:
    """Make one array of rows that are Python's objects."""
    lengths = (len(rows), *_lengths(rows[0]))
    return decode_array(_find_layout(signature, spec, lengths), rows)


def _stack_arrays(
    signature: Signature, spec: TensorSpec, rows: Sequence[object]
) -> np.ndarray:
    """Make one array of rows of which some are bytes or `Numbers`."""
    arrays = [_row_array(signature, spec, row) for row in rows]
    lengths = (len(rows), *arrays[0].shape)
    layout = _find_layout(signature, spec, lengths)
    for index, array in enumerate(arrays):
        if array.shape != layout.shape[1:]:
            raise TensorError(
                f"input {spec.name!r}: instance {index} has the shape"
                f" {list(array.shape)}, the first has {list(layout.shape[1:])}"
            )
    return np.stack(arrays)


def _row_array(signature: Signature, spec: TensorSpec, row: object) -> np.ndarray:
    """Make an array of one instance's row, without the batch axis."""
    if type(row) is dict:
        return decode_row(spec, row)
    if not is_numbers(row):
        return np.asarray(_stack_lists(signature, spec, [row])[0])
    row_lengths = row.lengths
    if row_lengths is None:
        raise TensorError(
            f"input {spec.name!r}: an instance's lists must agree in their lengths"
        )
    layout = _find_layout(signature, spec, (1, *row_lengths))
    row_layout = make_layout(spec, layout.shape[1:])
    return decode_array(row_layout, row)


def _find_layout(
    signature: Signature, spec: TensorSpec, lengths: tuple[int, ...]
) -> Layout:
    """Return what is known of an input that has these lengths."""
    key = (spec.name, lengths)
    layout = signature.layouts.get(key)
    if layout is None:
        if not spec.shape:
            raise TensorError(
                f"input {spec.name!r} has no batch axis;"
                " ask by the Open Inference Protocol"
            )
        layout = make_layout(spec, check_shape(spec, list(lengths)))
        signature.remember(key, layout)
    return layout


def _lengths(row: object) -> list[int]:
    """Return the lengths of the first lists; `decode_array` compares the others."""
    lengths: list[int] = []
    while isinstance(row, list) and len(lengths) <= DIMENSIONS_MAX:
        lengths.append(len(row))
        row = row[0] if row else None
    return lengths


def _plain(spec: TensorSpec, row: object) -> object:
    """Return a row of text as Python's objects, unless these were too many."""
    if not is_numbers(row):
        return row
    if row.lengths is None or math.prod(row.lengths) > TEXTS_MAX:
        raise TensorError(
            f"input {spec.name!r}: expected a row of {describe_shape(spec.shape[1:])},"
            " came more, or lists that differ"
        )
    return row.to_list()


def _only_input(signature: Signature) -> TensorSpec:
    """Return the input whose rows stand there without its name."""
    if len(signature.inputs) != 1:
        raise TensorError(
            f"an instance must be an object with the inputs {sorted(signature.inputs)}"
        )
    (spec,) = signature.inputs.values()
    return spec


def _wrong_fields(index: int, instance: object, signature: Signature) -> TensorError:
    """Say what stands in place of the inputs."""
    came = short(instance)
    if isinstance(instance, dict):
        came = str(sorted(instance))[:200]
    return TensorError(
        f"instance {index}: expected an object with the inputs"
        f" {sorted(signature.inputs)}, came {came}"
    )
