"""What a record says, by policy."""

import ml_dtypes
import numpy as np
import orjson
import pytest

from edge_runtime.prediction_log.data import tensors_of
from edge_runtime.prediction_log.payload import decode_payload
from edge_runtime.prediction_log.reader import Record
from edge_runtime.prediction_log.records import encode_prediction
from edge_runtime.settings.serve_settings import LogSettings
from tests.edge_runtime.prediction_log.entries import entry

FULL = LogSettings(0.5, "full", 2**20)
SUMMARY = LogSettings(0.5, "summary", 2**20)


def payload_of(one, settings, limit_bytes=10_000):
    return b"".join(encode_prediction(one, settings, limit_bytes))


def record(one, settings, limit_bytes=100_000):
    document, data = decode_payload(payload_of(one, settings, limit_bytes))
    return Record(1, 24, 99, document, data)


def test_a_record_says_what_release_answered_whom_and_how_fast():
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    document = record(
        entry("r-1", at_s=1.5, traceparent=traceparent, outcome="late", ratio=0.5),
        SUMMARY,
    ).document
    told = {k: v for k, v in document.items() if k not in {"inputs", "outputs"}}
    assert told == {
        "kind": "prediction",
        "at": "1970-01-01T00:00:01.500000Z",
        "model": "tiny",
        "version": "1",
        "request_id": "r-1",
        "traceparent": traceparent,
        "outcome": "late",
        "queue_s": 1e-5,
        "compute_s": 2e-4,
        "rows": 1,
        "ratio": 0.5,
        "policy": "summary",
    }


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.zeros((0, 4), np.float32),
        np.array([[np.nan, -np.inf]], np.float16),
        np.array([1.5, -2.0], ml_dtypes.bfloat16),
        np.array([2**64 - 1], np.uint64),
        np.array([[True], [False]]),
        np.array(["", "grüße", "\0"], dtype=object),
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_a_tensor_kept_in_full_comes_back_bit_by_bit(array):
    kept = record(entry(inputs={"a": array, "b": np.ones(2)}), FULL)
    inputs, outputs = tensors_of(kept)
    assert inputs["a"].dtype == array.dtype
    np.testing.assert_array_equal(inputs["a"], array, strict=True)
    assert inputs["b"].tolist() == [1.0, 1.0]
    assert outputs["y"].tolist() == [[0.25, 0.75]]


def test_a_summary_holds_nothing_of_a_text():
    secret = np.array(["secret"], dtype=object)
    payload = payload_of(entry(inputs={"t": secret}, outputs={"t": secret}), SUMMARY)
    assert b"secret" not in payload


def test_what_is_too_long_in_full_is_summarised():
    kept = record(entry(inputs={"x": np.zeros(50_000)}), FULL)
    assert kept.document["policy"] == "summary"
    assert kept.document["inputs"][0]["summary"]["max"] == 0.0
    assert not kept.data


def test_long_texts_are_summarised_too_although_their_length_shows_late():
    text = np.array(["x" * 200_000], dtype=object)
    assert record(entry(inputs={"t": text}), FULL).document["policy"] == "summary"


def test_what_is_too_long_even_as_a_summary_is_none():
    assert encode_prediction(entry(), SUMMARY, 100) is None
    names = {f"{i:0300}": np.zeros(1) for i in range(1000)}
    assert encode_prediction(entry(inputs=names), FULL, 2**20) is None


def test_ids_that_clients_choose_are_cut():
    assert len(record(entry("x" * 10_000), SUMMARY).document["request_id"]) == 256


@pytest.mark.parametrize(
    "payload", [b"", b"\1\0\0\0", b"\2\0\0\0[]"], ids=["empty", "cut", "a list"]
)
def test_a_payload_that_is_none_is_passed_over(payload):
    assert decode_payload(payload) is None


def test_the_document_is_json_with_its_keys_sorted():
    payload = payload_of(entry(), SUMMARY)
    document = orjson.loads(payload[4:])
    assert payload[4:] == orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
