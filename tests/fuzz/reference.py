"""Requests read again, by `docs/protocol.md` section 10 and with nothing of ours.

Slow and plain: Python's own JSON, gzip and base64. What the server answered with
200 must be readable here too, and its answer must be what numpy computes.
"""

import base64
import binascii
import json
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np

ID_MAX = 256
_JSON_SIZE = re.compile(r"json-header-size=([0-9]{1,12})(?:[;\s]|$)")


class UnreadableError(Exception):
    """The request is wrong; whoever answers it with 200 is wrong too."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
        outputs: Their names in the order to answer in.
        raw: Names of the outputs to be sent as bytes.
        count: How many instances came; None in the other protocol.
    """

    given: dict
    outputs: tuple
    raw: frozenset = frozenset()
    id: str = ""
    count: int | None = None


def read(sent):
    """Return what a request asks its model for.

    Raises:
        UnreadableError: It is wrong.
    """
    body = _inflated(sent)
    size = _json_bytes(sent)
    if size is not None and size > len(body):
        raise UnreadableError("the JSON is longer than the body")
    document = _document(body if size is None else body[:size])
    if sent.is_predict:
        return _read_instances(document, sent.served)
    return _read_infer(document, sent.served, None if size is None else body[size:])


# The envelope.


def _inflated(sent):
    codings = sent.header(b"content-encoding")
    coding = codings[-1].strip().lower() if codings else b""
    if coding in (b"", b"identity"):
        return sent.body
    try:
        if coding in (b"gzip", b"x-gzip"):
            return _members(sent.body)
        if coding == b"deflate":
            return _whole(sent.body, _deflate_bits(sent.body))[0]
    except zlib.error as error:
        raise UnreadableError("no such coding") from error
    raise UnreadableError("an unknown coding")


def _members(data):
    inflated = b""
    while True:
        piece, data = _whole(data, 31)
        inflated += piece
        if not data:
            return inflated


def _deflate_bits(data):
    start = data[:2]
    is_zlib = len(start) == 2 and start[0] & 15 == 8 and not start[0] & 128
    return 15 if is_zlib and int.from_bytes(start, "big") % 31 == 0 else -15


def _whole(data, bits):
    member = zlib.decompressobj(bits)
    piece = member.decompress(data)
    if not member.eof or (bits != 31 and member.unused_data):
        raise UnreadableError("cut short, or something follows")
    return piece, member.unused_data


def _json_bytes(sent):
    if lengths := sent.header(b"inference-header-content-length"):
        if not re.fullmatch(rb"[0-9]{1,12}", lengths[-1]):
            raise UnreadableError("no length")
        return int(lengths[-1])
    for kind in sent.header(b"content-type")[-1:]:
        if match := _JSON_SIZE.search(kind.decode("latin-1")):
            return int(match[1])
    return None


def _document(text):
    try:
        document = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableError("no JSON") from error
    return _is(document, dict)


def _is(value, kind):
    if type(value) is not kind:
        raise UnreadableError(f"expected {kind}, came {str(value)[:40]}")
    return value


# The Open Inference Protocol.


def _read_infer(document, served, rest):
    given = {}
    tensors = document.get("inputs")
    if tensors is None and not served.inputs:
        tensors = []
    for tensor in _is(tensors, list):
        name = _is(_is(tensor, dict).get("name"), str)
        if name not in served.inputs or name in given:
            raise UnreadableError("an unknown input, or twice")
        given[name], rest = _read_tensor(tensor, served.inputs[name], rest)
    if rest or not served.inputs.keys() - served.optional <= given.keys():
        raise UnreadableError("bytes left over, or an input is missing")
    return _wishes(document, served, given)


def _wishes(document, served, given):
    request_id = document.get("id")
    request_id = "" if request_id is None else _is(request_id, str)
    if len(request_id) > ID_MAX:
        raise UnreadableError("a long id")
    parameters = _parameters(document)
    is_raw = _is(parameters.get("binary_data_output", False), bool)
    raw = {}
    for output in document.get("outputs") or []:
        name = _is(output, dict).get("name")
        if name not in served.outputs or name in raw:
            raise UnreadableError("an unknown output, or twice")
        raw[name] = _is(_parameters(output).get("binary_data", is_raw), bool)
    raw = raw or dict.fromkeys(served.outputs, is_raw)
    names = frozenset(name for name in raw if raw[name])
    return Asked(given, tuple(raw), names, request_id)


def _parameters(document):
    parameters = document.get("parameters")
    parameters = {} if parameters is None else _is(parameters, dict)
    if {"classification", "shared_memory_region"} & parameters.keys():
        raise UnreadableError("what is not served")
    return parameters


def _read_tensor(entry, tensor, rest):
    """Return one tensor's array, and the bytes left after it."""
    shape = _is(entry.get("shape"), list)
    if entry.get("datatype") != tensor.datatype or not _fits(tensor, shape):
        raise UnreadableError("another datatype or shape")
    parameters = _parameters(entry)
    if "binary_data_size" in parameters:
        size = _is(parameters["binary_data_size"], int)
        if entry.get("data") is not None or not 0 <= size <= len(rest or b""):
            raise UnreadableError("both, or too few bytes")
        rest = rest or b""
        return from_bytes(tensor, rest[:size], shape), rest[size:]
    data = _is(entry.get("data"), list)
    is_flat = len(data) == _count(shape) and not any(type(v) is list for v in data)
    flat = data if is_flat else _flat(data, shape)
    return _array(tensor, flat, shape), rest


def _fits(tensor, shape):
    return len(shape) == len(tensor.shape) and all(
        type(have) is int and have >= 0 and want in (-1, have)
        for have, want in zip(shape, tensor.shape, strict=True)
    )


def _count(shape):
    return int(np.prod(shape, dtype=object)) if shape else 1


def _flat(data, shape):
    """Return nested lists' elements; each list has its axis' length."""
    if not shape:
        return [data]
    if type(data) is not list or len(data) != shape[0]:
        raise UnreadableError("lists of other lengths")
    return [value for part in data for value in _flat(part, shape[1:])]


def _array(tensor, flat, shape):
    """Return an array of JSON's values, each of the right kind and in range."""
    kinds = {"b": {bool}, "O": {str}, "i": {int}, "u": {int}}
    kind = kinds.get(tensor.dtype.kind, {int, float})
    if len(flat) != _count(shape) or any(type(value) not in kind for value in flat):
        raise UnreadableError("too many, too few, or of another kind")
    if tensor.dtype.kind in "iu":
        limits = np.iinfo(tensor.dtype)
        if any(not limits.min <= value <= limits.max for value in flat):
            raise UnreadableError("out of range")
    if float in kind:
        return _floats(tensor, flat).reshape(shape)
    array = np.empty(len(flat), tensor.dtype)
    array[:] = flat
    return array.reshape(shape)


def _floats(tensor, flat):
    try:
        wide = np.array([float(value) for value in flat], np.float64)
    except OverflowError as error:
        raise UnreadableError("out of range") from error
    with np.errstate(over="ignore"):
        array = wide.astype(tensor.dtype)
    if not np.isfinite(array.astype(np.float64)).all():
        raise UnreadableError("out of range, or no JSON")
    return array


def from_bytes(tensor, raw, shape):
    """Return an array of the bytes that stand for it."""
    if tensor.datatype == "BYTES":
        texts = _texts(raw)
        if len(texts) != _count(shape):
            raise UnreadableError("too many texts, or too few")
        array = np.empty(len(texts), object)
        array[:] = texts
        return array.reshape(shape)
    if len(raw) != _count(shape) * tensor.dtype.itemsize:
        raise UnreadableError("too many bytes, or too few")
    if tensor.datatype == "BOOL" and set(raw) - {0, 1}:
        raise UnreadableError("neither true nor false")
    return np.frombuffer(raw, tensor.dtype).reshape(shape)


def to_bytes(array):
    """Return the bytes that stand for an array."""
    if array.dtype != object:
        return array.tobytes()
    raws = [text.encode() for text in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)


def _texts(raw):
    texts, at = [], 0
    try:
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at)
            if at + 4 + length > len(raw):
                raise UnreadableError("cut short")
            texts.append(raw[at + 4 : at + 4 + length].decode())
            at += 4 + length
    except (struct.error, UnicodeDecodeError) as error:
        raise UnreadableError("no texts") from error
    return texts


# Instances.


def _read_instances(document, served):
    instances = _is(document.get("instances"), list)
    _parameters(document)
    if not instances:
        raise UnreadableError("no instances")
    given = {
        name: _stack(served.inputs[name], rows)
        for name, rows in _rows(instances, served).items()
    }
    return Asked(given, tuple(served.outputs), count=len(instances))


def _rows(instances, served):
    is_row = [type(i) is not dict or i.keys() == {"b64"} for i in instances]
    if all(is_row) and len(served.inputs) == 1 and "b64" not in served.inputs:
        return {next(iter(served.inputs)): instances}
    names = _is(instances[0], dict).keys()
    if not served.inputs.keys() - served.optional <= names <= served.inputs.keys():
        raise UnreadableError("other inputs")
    if any(_is(instance, dict).keys() != names for instance in instances):
        raise UnreadableError("instances that differ")
    return {name: [instance[name] for instance in instances] for name in names}


def _stack(tensor, rows):
    """Return the array that rows make, which all have the first one's shape."""
    if tensor.datatype == "BYTES":
        rows = [_plain(row) for row in rows]
    if any(type(row) is dict for row in rows):
        return _stack_raw(tensor, rows)
    shape = [len(rows), *_lengths(rows[0])]
    if not _fits(tensor, shape):
        raise UnreadableError("another shape")
    return _array(tensor, _flat(rows, shape), shape)


def _lengths(row):
    return [len(row), *_lengths(row[0] if row else None)] if type(row) is list else []


def _plain(row):
    if type(row) is list:
        return [_plain(part) for part in row]
    if type(row) is dict:
        try:
            return _raw(row).decode()
        except UnicodeDecodeError as error:
            raise UnreadableError("no text") from error
    return row


def _stack_raw(tensor, rows):
    arrays = []
    for row in rows:
        if type(row) is dict:
            raw = _raw(row)
            shape = _raw_shape(tensor, len(raw))
            arrays.append(from_bytes(tensor, raw, shape))
        else:
            arrays.append(_stack(tensor, [row])[0])
    if len({np.shape(array) for array in arrays}) != 1:
        raise UnreadableError("rows that differ")
    return np.stack(arrays)


def _raw(row):
    if row.keys() != {"b64"}:
        raise UnreadableError("no base64")
    try:
        return base64.b64decode(_is(row["b64"], str), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableError("no base64") from error


def _raw_shape(tensor, length):
    shape = tensor.shape[1:]
    fixed = _count([axis for axis in shape if axis != -1]) * tensor.dtype.itemsize
    if shape.count(-1) > 1 or not fixed or (-1 in shape and length % fixed):
        raise UnreadableError("not the row's shape")
    return [length // fixed if axis == -1 else axis for axis in shape]
