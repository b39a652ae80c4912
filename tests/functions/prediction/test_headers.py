"""Which headers go upstream, and which come back."""

import re

import pytest

from functions.prediction.headers import (
    NO_TRACE,
    Trace,
    answer_headers,
    json_size,
    read_trace,
    request_id,
    upstream_type,
)
from packhorse.errors import MalformedError

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("came", [b"abc-1", b"A.b_c", b"x" * 128])
def test_a_callers_sane_request_id_is_kept(came):
    assert request_id(came) == came.decode()


@pytest.mark.parametrize("came", [None, b"", b"a b", b'"}', b"x" * 129, b"\xff"])
def test_any_other_request_id_is_replaced(came):
    assert re.fullmatch("[0-9a-f]{32}", request_id(came))


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        (
            {b"traceparent": f"00-{TRACE}-{SPAN}-01"},
            Trace(TRACE, SPAN, is_sampled=True),
        ),
        (
            {b"traceparent": f"00-{TRACE}-{SPAN}-00"},
            Trace(TRACE, SPAN, is_sampled=False),
        ),
        (
            {b"traceparent": f"01-{TRACE}-{SPAN}-03-more"},
            Trace(TRACE, SPAN, is_sampled=True),
        ),
        (
            {b"x-cloud-trace-context": f"{TRACE}/26;o=1"},
            Trace(TRACE, f"{26:016x}", is_sampled=True),
        ),
        ({b"x-cloud-trace-context": TRACE}, Trace(TRACE, "", is_sampled=False)),
        (
            {b"traceparent": "nonsense", b"x-cloud-trace-context": f"{TRACE}/1"},
            Trace(TRACE, f"{1:016x}", is_sampled=False),
        ),
    ],
)
def test_a_trace_is_read_from_either_header(headers, trace):
    assert read_trace({name: text.encode() for name, text in headers.items()}) == trace


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"traceparent": f"ff-{TRACE}-{SPAN}-01".encode()},
        {b"traceparent": f"00-{'0' * 32}-{SPAN}-01".encode()},
        {b"traceparent": f"00-{TRACE}-{'0' * 16}-01".encode()},
        {b"traceparent": f"00-{TRACE.upper()}-{SPAN}-01".encode()},
        {b"x-cloud-trace-context": b"0" * 32},
        {b"x-cloud-trace-context": b'"}\n'},
    ],
)
def test_a_malformed_trace_counts_as_none(headers):
    assert read_trace(headers) is NO_TRACE


def test_the_length_of_the_json_part_goes_upstream_in_the_content_type():
    size = json_size({b"inference-header-content-length": b"42"})

    assert upstream_type({b"content-type": b"application/octet-stream"}, size) == (
        "application/vnd.vertex-ai-triton.binary+json;json-header-size=42"
    )


def test_any_other_content_type_goes_upstream_unchanged():
    headers = {b"content-type": b"text/x; charset=\xe9"}

    assert json_size(headers) is None
    assert upstream_type(headers, None) == "text/x; charset=\u00e9"
    assert upstream_type({}, None) == "application/json"


@pytest.mark.parametrize("size", [b"", b"two", b"-1", b"1e3", b"1" * 10])
def test_a_length_that_is_no_number_is_refused(size):
    with pytest.raises(MalformedError, match="must be a number"):
        json_size({b"inference-header-content-length": size})


def test_a_binary_answer_gets_the_protocols_header_back():
    kind = "application/vnd.vertex-ai-triton.binary+json;json-header-size=9"
    came = {"content-type": kind}

    assert answer_headers(came, 9) == [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"9"),
    ]


@pytest.mark.parametrize("size", ["10", "99999999999", "900000000000000000009"])
def test_a_json_part_that_is_longer_than_its_body_is_none(size):
    kind = f"application/vnd.vertex-ai-triton.binary+json;json-header-size={size}"

    assert answer_headers({"content-type": kind}, 9) == [
        (b"content-type", kind.encode())
    ]


def test_only_what_a_caller_needs_comes_back():
    came = {
        "content-type": "text/plain",
        "retry-after": "3",
        "content-encoding": "gzip",
        "set-cookie": "secret",
        "x-vertex-ai-endpoint-id": "1",
    }

    assert answer_headers(came, 9) == [
        (b"content-type", b"text/plain"),
        (b"retry-after", b"3"),
        (b"content-encoding", b"gzip"),
    ]


def test_an_answer_without_a_type_is_taken_for_json():
    assert answer_headers({}, 0) == [(b"content-type", b"application/json")]
