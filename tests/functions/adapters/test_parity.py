"""Golden samples, asked of an endpoint that answers as it likes."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from functions.adapters.parity import measure_parity, read_samples
from functions.adapters.raw_predict import RawPredict
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from packhorse.errors import MalformedError, UntrustedError
from packhorse.golden import GoldenSamples
from packhorse.inference.datatypes import numpy_type
from packhorse.manifest import TensorSpec
from packhorse.names import Release
from tests.functions.adapters.test_raw_predict import answering
from tests.functions.vertex_stand_in import CANDIDATE, doubling_bundle

BODY, BUNDLE = doubling_bundle(Release("magika", 1))


@pytest.fixture
def measure(google_account):
    """Compare one sample with whatever the endpoint answers."""
    manifest, _ = read_samples(io.BytesIO(BODY), BUNDLE)
    x = np.ones((1, 4), np.float32)
    samples = GoldenSamples({"x": x}, {"y": x * 2})

    def against(status, body):
        with answering(status, body) as (url, _):
            return measure_parity(RawPredict(url), CANDIDATE, manifest, samples)

    return against


def answer(data, shape=(1, 4), name="y"):
    tensor = {"name": name, "datatype": "FP32", "shape": list(shape), "data": data}
    return json.dumps({"outputs": [tensor]}).encode()


def test_the_same_numbers_agree(measure):
    comparison = measure(200, answer([2, 2, 2, 2.0001]))

    assert comparison.agrees
    assert comparison.largest_difference["y"] == pytest.approx(0.0001, rel=0.01)


@pytest.mark.parametrize(
    ("data", "shape", "reason"),
    [
        ([2, 2, 2, 3], (1, 4), "differs by 1"),
        ([2, 2, 2, None], (1, 4), "is not finite"),
        ([2, 2], (1, 2), "has the shape"),
        ([2], (), "shapes that do not fit"),
    ],
    ids=["wrong", "NaN", "short", "scalar"],
)
def test_other_numbers_do_not(measure, data, shape, reason):
    comparison = measure(200, answer(data, shape))

    assert not comparison.agrees
    assert reason in comparison.reason


def test_a_model_that_refuses_its_own_sample_does_not_agree(measure):
    assert "refused by the model" in measure(400, b"{}").reason


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"no JSON", UpstreamRefusedError),
        (200, b'{"outputs": 1}', UpstreamRefusedError),
        (200, answer([2, 2, 2, 2], name="z"), UpstreamRefusedError),
        (200, answer([2, 2, 2], (1, 4)), UpstreamRefusedError),
        (200, answer([2], (1,)).replace(b"[1]", b"1"), UpstreamRefusedError),
        (404, b"", UpstreamRefusedError),
        (503, b"", UpstreamUnavailableError),
    ],
    ids=["text", "number", "name", "few", "shape", "absent", "away"],
)
def test_an_answer_that_says_nothing_of_the_model_decides_nothing(
    measure, status, body, error
):
    with pytest.raises(error):
        measure(status, body)


def test_a_bundle_that_was_not_published_is_not_trusted():
    other, _ = doubling_bundle(Release("magika", 3))

    with pytest.raises(UntrustedError, match="not the bundle"):
        read_samples(io.BytesIO(other), BUNDLE)


def test_a_bundle_cut_short_is_malformed():
    with pytest.raises(MalformedError):
        read_samples(io.BytesIO(BODY[:-600]), BUNDLE)


@pytest.mark.parametrize(
    ("datatype", "right", "wrong"),
    [
        ("BYTES", ["ein", "Pferd"], ["ein", "Esel"]),
        ("BF16", [1.5, -2.0], [1.5, None]),
    ],
)
def test_text_and_bf16_are_asked_and_compared(google_account, datatype, right, wrong):
    spec = TensorSpec("y", datatype, (-1, 2))
    manifest, _ = read_samples(io.BytesIO(BODY), BUNDLE)
    manifest = replace(manifest, outputs=(spec,), tolerances={})
    array = np.array([right]).astype(numpy_type(datatype))
    samples = GoldenSamples({"x": array}, {"y": array})

    def compare(data):
        tensor = {"name": "y", "datatype": datatype, "shape": [1, 2], "data": data}
        body = json.dumps({"outputs": [tensor]}).encode()
        with answering(200, body) as (url, _):
            return measure_parity(RawPredict(url), CANDIDATE, manifest, samples)

    assert compare(right).agrees
    assert not compare(wrong).agrees
