"""A caller's deadline is found where callers write it, and read as gateways do."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.http.envelope import read_envelope
from functions.prediction.deadline import (
    EDGE_BYTES,
    PARAMETERS_MAX_BYTES,
    caller_timeout_s,
)
from packhorse.errors import MalformedError
from packhorse.inference.parameters import read_timeout_s

LIMIT_S = 60.0
TENSOR = {"name": "x", "shape": [2], "datatype": "FP32", "data": [0.5, 1.5]}
LONG = {**TENSOR, "data": [0.25] * EDGE_BYTES}


def asked_s(*, header=None, body=b"{}", json_size=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return caller_timeout_s(header, body, json_size, limit_s=LIMIT_S)


def test_a_caller_that_says_nothing_waits_as_long_as_the_endpoint_allows():
    assert asked_s(body={"inputs": [TENSOR]}) == LIMIT_S


def test_a_header_counts_in_seconds():
    assert asked_s(header="2.5") == 2.5


def test_nobody_waits_longer_than_the_endpoint_allows():
    assert asked_s(header="3600") == LIMIT_S
    assert asked_s(body={"parameters": {"timeout": 10**12}}) == LIMIT_S
    assert asked_s(body={"parameters": {"timeout": 10**4000}}) == LIMIT_S


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "1e999", "3601", "soon", "1,5", "0x10"]
)
def test_a_header_that_is_no_time_is_refused(text):
    with pytest.raises(MalformedError, match="X-Request-Timeout: expected seconds"):
        asked_s(header=text)


def is_taken_by_gateway(text):
    try:
        read_envelope([(b"x-request-timeout", text.encode("latin-1"))])
    except MalformedError:
        return False
    return True


def is_taken_here(text):
    try:
        asked_s(header=text)
    except MalformedError:
        return False
    return True


@given(st.text(st.characters(max_codepoint=255), max_size=8) | st.floats().map(str))
def test_function_and_gateway_take_the_same_headers(text):
    assert is_taken_here(text) == is_taken_by_gateway(text)


def test_the_parameter_counts_in_microseconds():
    assert asked_s(body={"parameters": {"timeout": 250_000}}) == 0.25


def test_a_parameter_in_milliseconds_counts_too_and_the_shortest_wins():
    parameters = {"timeout_ms": 1500, "timeout": 2_000_000}
    assert asked_s(body={"parameters": parameters}) == 1.5
    assert asked_s(header="1", body={"parameters": parameters}) == 1.0
    assert asked_s(header="2", body={"parameters": parameters}) == 1.5


def test_a_time_out_of_nought_says_nothing():
    assert asked_s(body={"parameters": {"timeout": 0}}) == LIMIT_S


@pytest.mark.parametrize("tensor", [TENSOR, LONG], ids=["short", "long"])
@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_parameters_are_found_before_the_tensors_and_after_them(tensor, is_first):
    parameters = {"parameters": {"priority": 1, "timeout": 5_000_000}}
    inputs = {"inputs": [tensor], "outputs": [{"name": "y", "parameters": {}}]}
    body = {**parameters, **inputs} if is_first else {**inputs, **parameters}
    assert asked_s(body=body) == 5.0


@pytest.mark.parametrize("length", [EDGE_BYTES, EDGE_BYTES + PARAMETERS_MAX_BYTES])
def test_no_length_of_a_request_hides_its_parameters(length):
    inner = {"timeout": 5_000_000}
    for beyond in range(-60, 60):
        padding = "x" * (length + beyond)
        assert asked_s(body={"parameters": inner, "id": padding}) == 5.0
        assert asked_s(body={"id": padding, "parameters": inner}) == 5.0


def test_parameters_far_from_both_ends_are_the_containers():
    body = {"inputs": [LONG], "parameters": {"timeout": 1}, "outputs": [LONG]}
    assert asked_s(body=body) == LIMIT_S


def test_parameters_of_a_tensor_are_not_the_requests():
    tensor = {**TENSOR, "parameters": {"timeout": 1}}
    assert asked_s(body={"inputs": [tensor]}) == LIMIT_S
    after = {"inputs": [tensor, LONG, tensor], "parameters": {"timeout": 7_000_000}}
    assert asked_s(body=after) == 7.0


def test_text_that_looks_like_parameters_is_text():
    trick = '{"parameters": {"timeout": 1}}'
    tensor = {**TENSOR, "datatype": "BYTES", "data": [trick, '}}]"parameters', "\\"]}
    assert asked_s(body={"inputs": [tensor]}) == LIMIT_S
    body = {"inputs": [tensor], "parameters": {"timeout": 3_000_000}, "id": "}"}
    assert asked_s(body=body) == 3.0


def test_the_bytes_of_binary_tensors_are_not_read():
    head = json.dumps({"inputs": [TENSOR]}).encode()
    tail = b',"parameters":{"timeout":1}}'
    assert asked_s(body=head + tail, json_size=len(head)) == LIMIT_S
    head = json.dumps({"parameters": {"timeout": 4_000_000}}).encode()
    assert asked_s(body=head + b"\xff}" * 9, json_size=len(head)) == 4.0


def test_a_size_beyond_the_body_is_left_to_the_container():
    assert asked_s(body={"parameters": {"timeout": 10**6}}, json_size=10**9) == 1.0


def test_indented_json_is_read():
    body = json.dumps({"id": "é", "parameters": {"timeout": 10**6}}, indent=2)
    assert asked_s(body=body.encode()) == 1.0


@pytest.mark.parametrize("value", ['"5"', "-1", "true", "null", "[1]", "{}", "NaN"])
def test_a_parameter_that_is_no_time_is_refused_and_named(value):
    body = b'{"parameters": {"timeout": %s}}' % value.encode()
    with pytest.raises(MalformedError, match="the parameter 'timeout' must be a num"):
        asked_s(body=body)


def test_parameters_that_cannot_be_read_are_refused():
    too_long = {"parameters": {"text": "x" * PARAMETERS_MAX_BYTES, "timeout": 1}}
    too_deep = b'{"parameters": {"timeout": ' + b"[" * 60_000
    too_many_digits = b'{"parameters": {"timeout": ' + b"1" * 5000 + b"}}"
    broken = b'{"parameters": {"timeout": 1'
    for body in (too_long, too_deep, too_many_digits, broken):
        with pytest.raises(MalformedError, match="must be a JSON object of at most"):
            asked_s(body=body)


def test_parameters_without_a_time_out_are_not_read():
    assert asked_s(body=b'{"parameters": {broken') == LIMIT_S
    assert asked_s(body={"parameters": {"a": "x" * 100_000}}) == LIMIT_S


@pytest.mark.parametrize(
    "piece", [b'"parameters":{', b'"parameters":{},', b'"",', b'"\\', b"[", b"}"]
)
def test_no_body_costs_more_than_its_edges(piece):
    body = b'{"timeout":' + piece * (10_000_000 // len(piece))
    began = time.process_time()
    with suppress(MalformedError):
        assert asked_s(body=body) == LIMIT_S
    # The two ends take some 20 ms, the whole body would take half a second.
    assert time.process_time() - began < 0.2


names = st.sampled_from(["inputs", "outputs", "parameters", "timeout", "id", '"', "\\"])
values = st.recursive(
    st.integers(0, 10**7) | names | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner),
)


@given(st.dictionaries(names, values), st.booleans())
def test_any_request_is_read_as_a_gateway_reads_it(request, is_indented):
    body = json.dumps(request, indent=2 if is_indented else None).encode()
    parameters = request.get("parameters")
    try:
        wanted = read_timeout_s(parameters) if isinstance(parameters, dict) else None
    except MalformedError:
        with pytest.raises(MalformedError, match="the parameter 'timeout'"):
            asked_s(body=body)
        return
    assert asked_s(body=body) == pytest.approx(min(wanted or LIMIT_S, LIMIT_S))
