"""Requests that are answered as they stand, for the API document."""

from collections.abc import Sequence

from packhorse.inference.signature import Signature
from packhorse.manifest import TensorSpec

Example = dict[str, object]

_EXAMPLE_MAX = 64
"""Elements that an example may have and still be read by a person."""


def infer_example(signature: Signature) -> Example | None:
    """Return a request that is answered, unless it would be too long to read."""
    inputs = []
    for spec in signature.inputs.values():
        shape = [1 if axis < 0 else axis for axis in spec.shape]
        data = _zeros(spec, shape)
        if data is None:
            return None
        tensor = {"name": spec.name, "datatype": spec.datatype, "shape": shape}
        inputs.append(tensor | {"data": data})
    return {"inputs": inputs}


def predict_example(signature: Signature) -> Example | None:
    """Return `instances` that are answered, unless they would be too long to read."""
    row: dict[str, object] = {}
    for name, spec in signature.inputs.items():
        shape = [1 if axis < 0 else axis for axis in spec.shape[1:]]
        data = _zeros(spec, shape) if spec.shape else None
        if data is None:
            return None
        row[name] = _nest(data, shape)
    return {"instances": [row]} if row else None


def _zeros(spec: TensorSpec, shape: Sequence[int]) -> list[object] | None:
    """Return the elements of an example; None where they are too many."""
    count = 1
    for axis in shape:
        count *= axis
    zero = {"BOOL": False, "BYTES": ""}.get(spec.datatype, 0)
    return None if count > _EXAMPLE_MAX else [zero] * count


def _nest(data: Sequence[object], shape: Sequence[int]) -> object:
    """Nest a flat list as a shape says."""
    if not shape:
        return data[0]
    step = len(data) // shape[0] if shape[0] else 0
    parts = [data[i * step : (i + 1) * step] for i in range(shape[0])]
    return [_nest(part, shape[1:]) for part in parts]
