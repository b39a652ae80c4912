"""Valid requests of every kind, made at random, and still easy to spoil."""

import base64
import gzip
import zlib
from dataclasses import dataclass, field

import numpy as np

from tests.fuzz import json_text
from tests.fuzz.exchange import Sent
from tests.fuzz.reference import to_bytes

ROWS = (0, 1, 1, 1, 1, 2, 2, 3, 5, 8, 63, 64, 65, 300)
LARGE_ROWS = (2000, 9000, 40_000)
"""Past the sizes at which another JSON reader, and then a thread, takes over."""

TEXTS = ("", "a", "schön", "\U0001f40e", "\0", '"\\\n', "x" * 300, "\x7f", "\ufeff")
ODD_FLOATS = (0.0, -0.0, 1.0, -1.5, 0.1, 5e-324, 6e-8, 65504.0, 1e30, -3.4e38)


@dataclass
class Draft:
    """A request before it is written.

    Attributes:
        tail: What follows the JSON.
        has_length: Whether a header says where the JSON ends.
        coding: "", "gzip", "deflate" or "raw", which is deflate without a frame.
        text: What is written in place of the document; None for the document.
        is_spoilt: Whether it was made wrong, or may have been.
    """

    served: object
    is_predict: bool
    document: object
    path: bytes
    method: bytes = b"POST"
    tail: bytes = b""
    has_length: bool = False
    headers: list = field(default_factory=list)
    coding: str = ""
    chunks: tuple = ()
    text: bytes | None = None
    is_spoilt: bool = False
    spoil_coded: object = None

    def write(self, random):
        """Return the request."""
        text = self.text
        if text is None:
            text = json_text.write(self.document, random)
        headers = list(self.headers)
        names = {name.lower() for name, _ in headers}
        if self.has_length and b"inference-header-content-length" not in names:
            headers.append((b"Inference-Header-Content-Length", b"%d" % len(text)))
        body = _coded(text + self.tail, self.coding)
        if self.coding and b"content-encoding" not in names:
            word = "deflate" if self.coding == "raw" else self.coding
            headers.append((b"Content-Encoding", word.encode()))
        if self.spoil_coded is not None:
            body = self.spoil_coded(body)
        return Sent(
            method=self.method,
            path=self.path,
            headers=tuple(headers),
            body=body,
            chunks=self.chunks,
            served=self.served if self.method == b"POST" else None,
            is_predict=self.is_predict,
            is_valid=not self.is_spoilt,
        )


def draft(random, models, *, large_ratio=0.03):
    """Return a valid request to one of `models`."""
    served = random.choice(models)
    is_predict = served.has_rows and random.random() < 0.35
    rows = random.choice(LARGE_ROWS if random.random() < large_ratio else ROWS)
    if is_predict:
        made = _predict(random, served, max(rows, 1))
    else:
        made = _infer(random, served, rows)
    _frame(random, made)
    return made


def values(random, tensor, shape):
    """Return an array that a model takes, of odd and ordinary values."""
    count = int(np.prod(shape))
    numpy_random = np.random.default_rng(random.getrandbits(32))
    if tensor.datatype == "BYTES":
        array = np.empty(count, object)
        array[:] = [random.choice(TEXTS) for _ in range(count)]
    elif tensor.datatype == "BOOL":
        array = numpy_random.integers(0, 2, count).astype(bool)
    elif tensor.dtype.kind in "iu":
        limits = np.iinfo(tensor.dtype)
        array = numpy_random.integers(
            limits.min, limits.max, count, tensor.dtype, endpoint=True
        )
    else:
        array = numpy_random.normal(size=count)
        odd = [v for v in ODD_FLOATS if np.isfinite(_narrow(v, tensor.dtype))]
        array = np.where(
            numpy_random.random(count) < 0.1, numpy_random.choice(odd, count), array
        )
        array = array.astype(tensor.dtype)
    return array.reshape(shape)


def _narrow(value, dtype):
    with np.errstate(over="ignore"):
        return float(np.float64(value).astype(dtype))


def _given(random, served, rows):
    """Return arrays for a model's inputs, mostly all of them."""
    given = {}
    free = random.choice((0, 1, 1, 2, 3))
    for name, tensor in served.inputs.items():
        if name in served.optional and random.random() < 0.4:
            continue
        shape = [free if axis == -1 else axis for axis in tensor.shape]
        if tensor.shape[:1] == (-1,):
            shape[0] = rows
        array = values(random, tensor, shape)
        if served.tolerance and array.dtype.kind == "f":
            array = np.clip(array, -100, 100)
        if served.name == "lookup":
            array = array % 3
        given[name] = array
    return given


# The Open Inference Protocol.


def _infer(random, served, rows):
    given = _given(random, served, rows)
    made = Draft(
        served, is_predict=False, document={}, path=_path(random, served, b"infer")
    )
    if rows == 300 and random.random() < 0.3:
        given = {name: np.asarray(array, order="F") for name, array in given.items()}
    if len(given) > 1 and random.random() < 0.2:
        # Rows that differ: what numpy makes of it, or a refusal.
        given |= {
            (name := random.choice(list(given))): given[name][: random.randint(0, 2)]
        }
        made.is_spoilt = True
    order = list(given)
    random.shuffle(order)
    share = random.choice((0.0, 0.0, 0.5, 1.0))
    inputs = [_entry(random, made, served, name, given[name], share) for name in order]
    if inputs or random.random() < 0.5 or served.inputs:
        made.document["inputs"] = inputs
    _wish(random, made, served)
    return made


def _path(random, served, what):
    path = b"/v2/models/%b" % served.name.encode()
    if random.random() < 0.2:
        path += b"/versions/%d" % served.version
    path += b"/" + what
    if random.random() < 0.03:
        path = path.replace(b"models", b"%6dodels")  # Flask answers
    return path + (b"?a=b" if random.random() < 0.05 else b"")


def _entry(random, made, served, name, array, binary_share):
    tensor = served.inputs[name]
    entry = {"name": name, "datatype": tensor.datatype, "shape": list(array.shape)}
    if random.random() < binary_share:
        raw = to_bytes(array)
        made.tail += raw
        made.has_length = True
        entry["parameters"] = {"binary_data_size": len(raw)}
        return entry
    nested = array.astype(np.float64) if array.dtype.kind in "fV" else array
    if random.random() < 0.5 and array.ndim:
        entry["data"] = nested.tolist()
    else:
        entry["data"] = nested.ravel().tolist()
    fields = list(entry.items())
    random.shuffle(fields)
    return dict(fields)


def _wish(random, made, served):
    """Ask for some outputs, in some form, by some id."""
    if random.random() < 0.3:
        made.document["id"] = random.choice(("", "1", "schön", "x" * 256, None))
    parameters = {}
    if random.random() < 0.2:
        parameters["binary_data_output"] = random.random() < 0.7
    if random.random() < 0.1:
        parameters[random.choice(("timeout_ms", "timeout"))] = random.choice(
            (0, 60_000_000)
        )
    if parameters:
        made.document["parameters"] = parameters
    if random.random() < 0.3:
        names = random.sample(
            list(served.outputs), random.randint(1, len(served.outputs))
        )
        made.document["outputs"] = [_output(random, name) for name in names]


def _output(random, name):
    if random.random() < 0.5:
        return {"name": name}
    return {"name": name, "parameters": {"binary_data": random.random() < 0.7}}


# Instances.


def _predict(random, served, rows):
    given = _given(random, served, rows)
    path = b"/v1/models/%b:predict" % served.name.encode()
    made = Draft(served, is_predict=True, document={}, path=path)
    columns = {
        name: _rows(random, array, is_raw=random.random() < 0.25)
        for name, array in given.items()
    }
    if len(columns) == len(served.inputs) == 1 and random.random() < 0.7:
        instances = next(iter(columns.values()))
    else:
        instances = [
            {name: column[i] for name, column in columns.items()} for i in range(rows)
        ]
    made.document["instances"] = instances
    if random.random() < 0.1:
        made.document["parameters"] = {"timeout_ms": 60_000, "other": [1]}
    return made


def _rows(random, array, *, is_raw):
    if array.dtype == object:
        return [_texts(row, is_raw) for row in array.tolist()]
    if is_raw and 0 not in array.shape[1:]:
        return [_b64(row.tobytes()) for row in array]
    return (array.astype(np.float64) if array.dtype.kind in "fV" else array).tolist()


def _texts(row, is_raw):
    if isinstance(row, list):
        return [_texts(part, is_raw) for part in row]
    return _b64(row.encode()) if is_raw else row


def _b64(raw):
    return {"b64": base64.b64encode(raw).decode()}


# What stands around the body.


def _frame(random, made):
    if random.random() < 0.15:
        made.coding = random.choice(("gzip", "deflate", "raw"))
    if random.random() < 0.15:
        made.chunks = tuple(
            random.randint(1, 3000) for _ in range(random.randint(1, 6))
        )
    if random.random() < 0.15:
        wish = random.choice((b"gzip", b"deflate", b"gzip, deflate, br", b"identity"))
        made.headers.append((b"Accept-Encoding", wish))
    if random.random() < 0.1:
        made.headers.append(
            (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")
        )
    if random.random() < 0.05:
        made.headers.append((b"X-Request-Timeout", b"60"))
    if random.random() < 0.03:
        made.headers.append((b"Expect", b"100-continue"))


def _coded(body, coding):
    if coding == "gzip":
        half = len(body) // 2
        # Without the time of day, which would make each run's cases others.
        parts = (body[:half], body[half:])
        return b"".join(gzip.compress(part, 1, mtime=0) for part in parts)
    if coding == "deflate":
        return zlib.compress(body, 1)
    if coding == "raw":
        packer = zlib.compressobj(1, wbits=-15)
        return packer.compress(body) + packer.flush()
    return body
