"""The manifest: what it says reads back, and what it cannot say is refused."""

import json

import onnx
import pytest

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import (
    DATATYPES,
    MANIFEST_MAX_BYTES,
    ONNX_DATATYPES,
    Member,
    TensorSpec,
    decode_manifest,
    encode_manifest,
)
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import Tolerance
from tests.packhorse.samples import manifest


def changed(**fields):
    return json.dumps(json.loads(encode_manifest(manifest())) | fields).encode()


def test_a_manifest_reads_back_the_same():
    assert decode_manifest(encode_manifest(manifest())) == manifest()


def test_a_manifest_without_new_words_is_written_as_it_always_was():
    document = json.loads(encode_manifest(manifest()))
    assert document["format"] == 1
    assert "shadow" not in document
    assert document["tolerances"] == {"y": {"absolute": 1e-5, "relative": 1e-4}}


@pytest.mark.parametrize(
    "changes",
    [
        {"shadow": ShadowLimits(0.9, 2.0, min_requests=7)},
        {"tolerances": {"y": Tolerance(0.1, 0.0, 0.2)}},
        {
            "tolerances": {
                "y": Tolerance(0.1, 0, architectures={"aarch64": Tolerance(0.2, 0)})
            }
        },
    ],
    ids=["shadow", "margin", "architecture"],
)
def test_what_old_readers_do_not_know_is_format_2_and_reads_back(changes):
    body = encode_manifest(manifest(**changes))
    assert json.loads(body)["format"] == 2
    assert decode_manifest(body) == manifest(**changes)


def test_a_runtime_range_reads_back_the_same():
    needs = json.loads(encode_manifest(manifest()))["needs"]
    body = changed(needs=needs | {"max_onnxruntime": "1.40.0"})
    assert decode_manifest(body).needs.max_onnxruntime == "1.40.0"


def test_a_member_is_found_by_name():
    assert manifest().member("model.onnx").name == "model.onnx"
    with pytest.raises(MalformedError, match="no member"):
        manifest().member("other")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"format": 3}, "format"),
        ({"kind": "firmware"}, "kind"),
        ({"release": "magika"}, "magika@7"),
        ({"variant": "../x"}, "variant"),
        ({"source_digest": "md5:1"}, "source_digest"),
        ({"members": []}, "model.onnx"),
        ({"members": {}}, "list"),
        ({"inputs": [{"name": "x", "datatype": "FP31", "shape": []}]}, "FP31"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]}, "shape"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5]}]}, "integers"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [True]}]}, "integers"),
        ({"tolerances": {"y": {"absolute": -1, "relative": 0}}}, "absolute"),
        ({"shadow": {"min_agreement": 2, "min_requests": 1}}, "min_agreement"),
        ({"needs": {}}, "opsets"),
    ],
)
def test_a_manifest_that_says_something_wrong_is_refused(fields, word):
    with pytest.raises(MalformedError, match=word):
        decode_manifest(changed(**fields))


def test_a_manifest_over_the_limit_is_refused():
    with pytest.raises(LimitExceededError):
        decode_manifest(b" " * (MANIFEST_MAX_BYTES + 1))


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", ".hidden", "a/b", "", "a" * 101, "a\nb"]
)
def test_a_member_has_a_plain_name(name):
    with pytest.raises(MalformedError, match="plain file name"):
        Member(name, 1, "a" * 64)


@pytest.mark.parametrize(
    ("length_bytes", "sha256"), [(-1, "a" * 64), (2**40, "a" * 64), (1, "A" * 64)]
)
def test_a_member_has_a_length_and_a_hash(length_bytes, sha256):
    with pytest.raises(MalformedError):
        Member("model.onnx", length_bytes, sha256)


def test_a_member_stands_there_once():
    twice = (*manifest().members, manifest().members[0])
    with pytest.raises(MalformedError, match="once"):
        manifest(members=twice)


def test_a_bundle_has_a_bounded_number_of_members():
    more = tuple(Member(f"w{i}", 1, "a" * 64) for i in range(64))
    with pytest.raises(MalformedError, match="at most"):
        manifest(members=(*manifest().members, *more))


def test_a_tensor_has_a_bounded_number_of_axes():
    with pytest.raises(MalformedError, match="shape"):
        TensorSpec("x", "FP32", (1,) * 17)


def test_the_words_for_onnx_types_are_those_of_onnx_itself():
    known = {
        "FLOAT": "FP32",
        "DOUBLE": "FP64",
        "FLOAT16": "FP16",
        "BFLOAT16": "BF16",
        "STRING": "BYTES",
    }
    named = {
        onnx.TensorProto.DataType.Name(number): word
        for number, word in ONNX_DATATYPES.items()
    }
    assert set(named.values()) == DATATYPES
    assert all(word == known.get(name, name) for name, word in named.items())
