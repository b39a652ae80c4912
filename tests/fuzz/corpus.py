"""What fuzzers and reviewers once found, and its like: small cases, made here.

Each says what it must be answered; the last request of a case is a valid one, which
must not suffer from what stood before it.
"""

import json
import zlib

from tests.fuzz.exchange import Case, Sent
from tests.fuzz.fuzzer import all_models

TINY = b"/v2/models/tiny/infer"


def corpus():
    """Return cases by what is odd about them: (case, statuses)."""
    cases = {**_frames(), **_shapes(), **_documents(), **_bytes()}
    return {
        name: (Case((sent, canary())), [status, *([200] if stays else [])])
        for name, (sent, status, stays) in cases.items()
    }


def canary():
    """Return a valid request."""
    return infer("tiny", "FP32", [1, 4], [1, 2, 3, 4], is_valid=True)


def post(name, document, *headers, path=None, tail=b"", **more):
    """Return a request to a model."""
    is_predict = path is not None and path.endswith(b"predict")
    (served,) = (model for model in all_models() if model.name == name)
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Sent(
        method=b"POST",
        path=path or b"/v2/models/%b/infer" % name.encode(),
        headers=headers,
        body=body + tail,
        served=served,
        is_predict=is_predict,
        **more,
    )


def infer(name, datatype, shape, data, **more):
    """Return a request of one tensor `x` in JSON."""
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "data": data}
    return post(name, {"inputs": [tensor]}, **more)


def predict(name, *instances):
    """Return a request of instances."""
    path = b"/v1/models/%b:predict" % name.encode()
    return post(name, {"instances": list(instances)}, path=path)


def raw(name, datatype, shape, data, size=None):
    """Return a request whose tensor follows its JSON."""
    size = len(data) if size is None else size
    tensor = {"name": "x", "datatype": datatype, "shape": shape}
    tensor["parameters"] = {"binary_data_size": size}
    text = json.dumps({"inputs": [tensor]}).encode()
    length = (b"Inference-Header-Content-Length", b"%d" % len(text))
    return post(name, text, length, tail=data)


def _frames():
    """Return cases of heads and codings: (request, status, whether more follows)."""
    flask = b"/v2/%6dodels/id_fp32/infer"
    document = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]
    }
    text = json.dumps(document).encode()
    gzip = (b"Content-Encoding", b"gzip")
    return {
        "a chunked body where Flask answers": (
            post("id_fp32", text, path=flask, chunks=(3, 50)),
            *(200, True),
        ),
        "HEAD for a path that is none": (Sent(b"HEAD", b"/\xff"), 400, False),
        "HEAD for a server's *": (Sent(b"HEAD", b"*"), 400, False),
        "a HEAD that is too long": (
            Sent(b"HEAD", b"/v2", ((b"A", b"a" * 17_000),)),
            431,
            False,
        ),
        "gzip that is cut": (
            post("id_fp32", zlib.compress(text, wbits=31)[:-9], gzip),
            400,
            True,
        ),
        "gzip that is none": (post("id_fp32", text, gzip), 400, True),
        "a gzip bomb": (
            post("id_fp32", zlib.compress(bytes(70 << 20), wbits=31), gzip),
            413,
            True,
        ),
    }


def _shapes():
    giant = 2**64 - 1
    return {
        "an empty tensor with a giant axis": (
            infer("deep", "INT64", [giant, 2, 0], []),
            413,
            True,
        ),
        "an empty tensor of giant axes": (
            raw("free", "FP32", [0, 2**62], b""),
            413,
            True,
        ),
        "a giant tensor": (infer("free", "FP32", [2**31, 2**31], []), 413, True),
        "a negative axis": (infer("free", "FP32", [-1, -1], [1]), 400, True),
        "a true axis": (infer("free", "FP32", [True, 1], [1]), 400, True),
        "a fraction of an axis": (infer("free", "FP32", [1.0, 1], [1]), 400, True),
        "an index past the table": (infer("lookup", "INT64", [1], [3]), 400, True),
        "rows that cannot be added": (
            predict("sum", {"a": [1, 2, 3], "b": [[1, 2, 3]]}),
            *(400, True),
        ),
    }


def _documents():
    long = [0] * 20_000
    return {
        "b64 beside another field": (
            predict("id_fp32", {"x": {"b64": "AACAPwAAAEA=", "y": 1}}),
            *(400, True),
        ),
        "b64 with a line end": (
            predict("id_fp32", {"b64": "AACAPwAAAEA=\n"}),
            400,
            True,
        ),
        "half a surrogate": (
            post(
                "word",
                b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[],"data":["\\ud800"]}]}',
            ),
            400,
            True,
        ),
        "half a surrogate in a long body": (
            post("word", b'{"id":"\\ud800","inputs":[]}' + b" " * 9000),
            400,
            True,
        ),
        "a list among the numbers of a long body": (
            infer("free", "FP32", [1, 20_001], [*long, [1]]),
            400,
            True,
        ),
        "a name with NUL in a long body": (post("tiny", {"\0": long}), 400, True),
        "2,000 levels of lists": (post("tiny", b"[" * 2000 + b"]" * 2000), 400, True),
        "2,000 levels of lists in a long body": (
            post("tiny", b'{"inputs":' + b"[" * 9000 + b"]" * 9000 + b"}"),
            400,
            True,
        ),
        "a number of 500 digits": (infer("free", "FP32", [1, 1], [10**500]), 400, True),
        "a number too large for its type": (
            infer("id_fp16", "FP16", [1, 2], [65520, 0]),
            400,
            True,
        ),
        "a time-out of 500 digits": (
            post("tiny", {"inputs": [], "parameters": {"timeout_ms": 10**500}}),
            400,
            True,
        ),
        "an output's name that is a list": (
            post("tiny", {"inputs": [], "outputs": [{"name": ["y"]}]}),
            400,
            True,
        ),
    }


def _bytes():
    return {
        "a byte too few": (raw("free", "FP32", [1, 1], b"abc"), 400, True),
        "a byte too many": (raw("free", "FP32", [1, 1], b"abcde", 4), 400, True),
        "a size below 0": (raw("free", "FP32", [1, 1], b"abcd", -4), 400, True),
        "a truth of 2": (raw("id_bool", "BOOL", [1, 2], b"\1\2"), 400, True),
        "a text whose length lies": (
            raw("word", "BYTES", [], b"\xff\xff\xff\xffab"),
            400,
            True,
        ),
        "a text that is not UTF-8": (
            raw("word", "BYTES", [], b"\1\0\0\0\xff"),
            400,
            True,
        ),
        "NaN and infinities": (
            raw("id_fp32", "FP32", [1, 2], b"\0\0\xc0\x7f\0\0\x80\xff"),
            200,
            True,
        ),
    }
