"""JSON Schemas of what a model takes and gives, for the API document.

What JSON Schema cannot say, such as that a tensor has as many elements as its
shape holds, stands in the descriptions; who breaks it is answered 400.

Source: JSON Schema, draft 2020-12, as OpenAPI 3.1 uses it
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edge_runtime.views.openapi_examples import infer_example, predict_example
from packhorse.inference.layout import ELEMENTS_MAX, TEXTS_MAX, describe_shape
from packhorse.inference.signature import Signature
from packhorse.inference.v2 import ID_MAX, OUTPUTS_MAX
from packhorse.inference.vertex import INSTANCES_MAX
from packhorse.manifest import TensorSpec

Schema = dict[str, object]

_BITS: Final = (8, 16, 32, 64)
_ELEMENTS: Final[Mapping[str, Schema]] = {
    "BOOL": {"type": "boolean"},
    "BYTES": {"type": "string"},
    **{
        f"UINT{bits}": {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
        for bits in _BITS
    },
    **{
        f"INT{bits}": {
            "type": "integer",
            "minimum": -(2 ** (bits - 1)),
            "maximum": 2 ** (bits - 1) - 1,
        }
        for bits in _BITS
    },
}
"""One element of a tensor; every other datatype is a number."""

_NUMBER: Final[Schema] = {"type": "number"}
_PARAMETERS: Final[Schema] = {
    "type": ["object", "null"],
    "description": (
        "Parameters that are not known here are ignored; `timeout_ms` is the time"
        " after which nobody waits for the answer, `timeout` the same in µs."
    ),
    "properties": {
        "timeout_ms": {"type": "number", "minimum": 0},
        "timeout": {"type": "number", "minimum": 0},
        "binary_data_output": {"type": "boolean"},
        "classification": False,
        "shared_memory_region": False,
    },
}


def infer_request(signature: Signature) -> Schema:
    """Describe a request of the Open Inference Protocol."""
    inputs = [_input(spec) for spec in signature.inputs.values()]
    needed = len(signature.inputs.keys() - signature.optional)
    schema: Schema = {
        "type": "object",
        "required": ["inputs"] if inputs else [],
        "properties": {
            "id": {"type": "string", "maxLength": ID_MAX},
            "parameters": _PARAMETERS,
            "inputs": {
                "type": "array",
                "items": {"oneOf": inputs} if inputs else False,
                "minItems": needed,
                "maxItems": len(inputs),
            },
            "outputs": _wanted(signature),
        },
    }
    example = infer_example(signature)
    return schema | ({"examples": [example]} if example else {})


def infer_answer(name: str, version: str, signature: Signature) -> Schema:
    """Describe the answer to it."""
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": name},
            "model_version": {"const": version},
            "id": {"type": "string", "maxLength": ID_MAX},
            "outputs": {
                "type": "array",
                "items": {"oneOf": [_output(s) for s in signature.outputs.values()]},
            },
        },
    }


def predict_request(signature: Signature) -> Schema:
    """Describe `instances`."""
    by_name: Schema = {
        "type": "object",
        "required": [n for n in signature.inputs if n not in signature.optional],
        "properties": {n: row_schema(s) for n, s in signature.inputs.items()},
        "additionalProperties": False,
    }
    forms = [by_name]
    if len(signature.inputs) == 1:
        (spec,) = signature.inputs.values()
        forms.insert(0, row_schema(spec))
    schema: Schema = {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "description": "One row each, all of one form and of one shape.",
                "type": "array",
                "items": {"anyOf": forms},
                "minItems": 1,
                "maxItems": INSTANCES_MAX,
            },
            "parameters": _PARAMETERS,
        },
    }
    example = predict_example(signature)
    return schema | ({"examples": [example]} if example else {})


def predict_answer(signature: Signature) -> Schema:
    """Describe `predictions`."""
    rows = {
        name: nested(spec.shape[1:], _given_element(spec.datatype))
        for name, spec in signature.outputs.items()
    }
    item: Schema = {"type": "object", "required": list(rows), "properties": rows}
    if len(rows) == 1:
        (item,) = rows.values()
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": item}},
    }


def row_schema(spec: TensorSpec) -> Schema:
    """Describe one instance's part of an input: lists, or bytes in base64."""
    row = nested(spec.shape[1:], element(spec.datatype))
    raw: Schema = {
        "type": "object",
        "required": ["b64"],
        "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
        "additionalProperties": False,
    }
    return {"anyOf": [row, raw]}


def element(datatype: str) -> Schema:
    """Describe one element of a tensor."""
    return dict(_ELEMENTS.get(datatype, _NUMBER))


def nested(shape: Sequence[int], inner: Schema) -> Schema:
    """Describe lists nested as a shape says."""
    for length in reversed(shape):
        inner = {"type": "array", "items": inner}
        if length >= 0:
            inner |= {"minItems": length, "maxItems": length}
    return inner


def _given_element(datatype: str) -> Schema:
    """Describe an element of an answer, where NaN and the infinities are null."""
    kind = element(datatype)
    return {"type": ["number", "null"]} if kind == _NUMBER else kind


def _input(spec: TensorSpec) -> Schema:
    """Describe one entry of `inputs`: with its data, or with bytes after the JSON."""
    limit = TEXTS_MAX if spec.datatype == "BYTES" else ELEMENTS_MAX
    flat = {"type": "array", "items": element(spec.datatype), "maxItems": limit}
    forms = [flat]
    if len(spec.shape) > 1:
        forms.append(nested(spec.shape, element(spec.datatype)))
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": _shape(spec),
            "data": {
                "description": "In row-major order: flat, or nested as the shape says.",
                "anyOf": forms,
            },
            "parameters": {
                "type": ["object", "null"],
                "properties": {
                    "binary_data_size": {"type": "integer", "minimum": 0},
                    "shared_memory_region": False,
                },
            },
        },
        "anyOf": [
            {"required": ["data"]},
            {
                "required": ["parameters"],
                "properties": {
                    "parameters": {"type": "object", "required": ["binary_data_size"]}
                },
            },
        ],
    }


def _shape(spec: TensorSpec) -> Schema:
    axes: list[Schema] = [
        {"type": "integer", "minimum": 0} if axis < 0 else {"const": axis}
        for axis in spec.shape
    ]
    schema: Schema = {
        "description": describe_shape(spec.shape),
        "type": "array",
        "minItems": len(axes),
        "maxItems": len(axes),
    }
    return schema | ({"prefixItems": axes} if axes else {})


def _output(spec: TensorSpec) -> Schema:
    """Describe one entry of an answer's `outputs`."""
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "items": _given_element(spec.datatype)},
            "parameters": {
                "type": "object",
                "properties": {"binary_data_size": {"type": "integer", "minimum": 0}},
            },
        },
    }


def _wanted(signature: Signature) -> Schema:
    """Describe which outputs a client may ask for."""
    return {
        "type": ["array", "null"],
        "description": "Each once; all of them where none is named.",
        "maxItems": min(OUTPUTS_MAX, len(signature.outputs)),
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"enum": list(signature.outputs)},
                "parameters": {
                    "type": ["object", "null"],
                    "properties": {
                        "binary_data": {"type": "boolean"},
                        "classification": False,
                        "shared_memory_region": False,
                    },
                },
            },
        },
    }
