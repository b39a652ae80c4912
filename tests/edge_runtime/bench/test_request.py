"""The request that is sent: made from metadata, or read from a file."""

import json

import numpy as np
import pytest

from edge_runtime.bench.request import (
    encode_arrays,
    make_arrays,
    read_request,
    render,
)
from edge_runtime.bench.target import Target
from edge_runtime.errors import BenchError
from packhorse.manifest import DATATYPES, TensorSpec

FREE = TensorSpec("x", "FP32", (-1, 4))


def test_free_axes_have_the_length_one_or_what_is_asked():
    assert make_arrays([FREE], {})["x"].shape == (1, 4)
    assert make_arrays([FREE], {"x": (8, 4)})["x"].shape == (8, 4)


@pytest.mark.parametrize("shape", [(8, 5), (4,), (1, 1, 4)])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(BenchError, match="expected the shape"):
        make_arrays([FREE], {"x": shape})


def test_a_shape_of_no_input_is_refused():
    with pytest.raises(BenchError, match="the inputs are x, --shape names 'y'"):
        make_arrays([FREE], {"y": (1,)})


def test_an_input_too_large_to_send_is_refused():
    with pytest.raises(BenchError, match="at most"):
        make_arrays([FREE], {"x": (2**40, 4)})


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("zeros", [False, True])
def test_every_datatype_can_be_made_and_sent_in_binary(datatype, zeros):
    spec = TensorSpec("x", datatype, (2, -1))
    request = encode_arrays(make_arrays([spec], {}, zeros=zeros), binary=True)
    (tensor,) = json.loads(request.body[: request.json_bytes])["inputs"]
    assert (tensor["datatype"], tensor["shape"]) == (datatype, [2, 1])
    size = tensor["parameters"]["binary_data_size"]
    assert len(request.body) == request.json_bytes + size


@pytest.mark.parametrize("datatype", sorted(DATATYPES - {"BF16"}))
def test_every_datatype_but_one_can_be_sent_in_json(datatype):
    spec = TensorSpec("x", datatype, (2, -1))
    request = encode_arrays(make_arrays([spec], {}), binary=False)
    (tensor,) = json.loads(request.body)["inputs"]
    assert len(tensor["data"]) == 2


def test_bf16_needs_binary():
    arrays = make_arrays([TensorSpec("x", "BF16", (1,))], {})
    with pytest.raises(BenchError, match="BF16, which needs --binary"):
        encode_arrays(arrays, binary=False)


def test_a_file_is_sent_as_it_is(tmp_path):
    path = tmp_path / "request.json"
    text = (
        '{"id":"7","inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[9]}]}'
    )
    path.write_text(text)
    assert read_request(path, binary=False).body == text.encode()


def test_a_file_can_be_sent_in_binary(tmp_path):
    path = tmp_path / "request.json"
    tensor = {"name": "x", "datatype": "INT64", "shape": [1, 2], "data": [[9, 8]]}
    path.write_text(json.dumps({"inputs": [tensor]}))
    request = read_request(path, binary=True)
    assert request.body[request.json_bytes :] == np.array([9, 8], np.int64).tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"inputs":[{"name":"x"}]}',
        '{"inputs":[{"name":"x","datatype":"FP32","shape":[3],"data":[1]}]}',
        '{"inputs":[{"name":"x","datatype":"FP32","shape":3,"data":[1]}]}',
    ],
)
def test_a_file_that_is_no_request_is_refused(tmp_path, text):
    path = tmp_path / "request.json"
    path.write_text(text)
    with pytest.raises(BenchError, match="holds no v2 request"):
        read_request(path, binary=False)


def test_the_message_says_how_long_it_is_and_where_its_json_ends():
    target = Target("::1", 8080, model="m", headers={"Authorization": "Bearer t"})
    request = encode_arrays(make_arrays([FREE], {}), binary=True)
    head, _, body = render(target, request).partition(b"\r\n\r\n")
    assert body == request.body
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v2/models/m/infer HTTP/1.1"
    assert "Host: [::1]:8080" in lines
    assert "Authorization: Bearer t" in lines
    assert f"Content-Length: {len(body)}" in lines
    assert f"Inference-Header-Content-Length: {request.json_bytes}" in lines
