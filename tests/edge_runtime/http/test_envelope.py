"""What a request's headers say of its body and its answer."""

import pytest

from edge_runtime.http.envelope import PLAIN, Envelope, read_envelope
from packhorse.errors import MalformedError

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def read(**headers):
    return read_envelope(
        (name.replace("_", "-").encode(), value.encode())
        for name, value in headers.items()
    )


def test_a_request_without_such_headers_is_plain():
    assert read(host="a", content_length="5") is PLAIN


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"inference_header_content_length": "17"}, 17),
        (
            {
                "content_type": "application/vnd.vertex-ai-triton.binary+json;"
                "json-header-size=23"
            },
            23,
        ),
        ({"content_type": "application/json"}, None),
        (
            {
                "inference_header_content_length": "17",
                "content_type": "x; json-header-size=23",
            },
            17,
        ),
    ],
)
def test_the_json_s_length_comes_from_the_protocol_or_from_vertex(headers, expected):
    assert read(**headers).json_bytes == expected


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x1", "٣", "1" * 13])
def test_a_length_that_is_none_is_refused(length):
    with pytest.raises(MalformedError, match="length of the JSON"):
        read(inference_header_content_length=length)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [("gzip", "gzip"), ("Deflate", "deflate"), ("gzip, deflate, br", ""), ("*", ""),
     ("identity", ""), ("br", ""), ("gzip;q=0.5", "")],
)  # fmt: skip
def test_only_a_client_that_names_one_coding_wishes_it(accepted, expected):
    assert read(accept_encoding=accepted).answer_coding == expected


def test_a_body_s_coding_is_kept_for_who_takes_it_off():
    assert read(content_encoding=" GZIP ").body_coding == "gzip"
    assert read(content_encoding="identity").body_coding == ""
    headers = [(b"content-encoding", b"identity\x85")]
    assert read_envelope(headers).body_coding == "identity\x85"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601", "soon", ""])
def test_a_time_out_is_seconds_above_zero(seconds):
    with pytest.raises(MalformedError, match="X-Request-Timeout"):
        read(x_request_timeout=seconds)


def test_a_trace_is_kept_where_it_is_valid():
    envelope = read(x_request_timeout="0.25", traceparent=TRACE)
    assert envelope == Envelope(timeout_s=0.25, traceparent=TRACE)
    assert envelope.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "trace",
    [TRACE.upper(), TRACE + "-x", TRACE[:-1], "00-" + "0" * 32 + TRACE[35:],
     TRACE[:36] + "0" * 16 + "-01", "garbage", ""],
)  # fmt: skip
def test_a_broken_trace_is_as_good_as_none(trace):
    assert read(traceparent=trace).traceparent == ""
