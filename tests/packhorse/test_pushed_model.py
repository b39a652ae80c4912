"""What is pushed says what it is, in one way only."""

import hashlib
import json

import pytest

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.model_card import ModelCard
from packhorse.names import Release
from packhorse.pushed_model import (
    CONFIG_TYPE,
    DATASET_TYPE,
    LAYER_MAX_BYTES,
    MODEL_MANIFEST_TYPE,
    PUSHED_MANIFEST_MAX_BYTES,
    TITLE,
    VERSION,
    WEIGHT_TYPE,
    Layer,
    PushedModel,
    Role,
    decode_pushed_manifest,
    encode_config,
    encode_pushed_manifest,
)

RELEASE = Release("digits", 7)
DIGEST = "sha256:" + "a" * 64
LAYERS = (
    Layer(Role.CARD, "card.json", DIGEST, 100),
    Layer(Role.EXTERNAL_DATA, "weights.bin", DIGEST, 3),
    Layer(Role.GOLDEN, "golden.npz", DIGEST, 2),
    Layer(Role.EXTERNAL_DATA, "more.bin", DIGEST, 4),
    Layer(Role.MODEL, "model.onnx", DIGEST, 1),
)


def manifest(layers=LAYERS):
    return encode_pushed_manifest(RELEASE, b"{}", layers)


def changed(change):
    document = json.loads(manifest())
    change(document)
    return json.dumps(document).encode()


def test_a_pushed_manifest_survives_the_way():
    release, layers = decode_pushed_manifest(manifest())

    assert release == RELEASE
    assert set(layers) == set(LAYERS)
    names = [layer.name for layer in layers]
    assert names == ["model.onnx", "more.bin", "weights.bin", "golden.npz", "card.json"]


def test_the_same_files_make_the_same_manifest():
    assert manifest(LAYERS) == manifest(LAYERS[::-1])


def test_a_manifest_is_what_oci_and_modelpack_ask_for():
    document = json.loads(manifest())

    assert document["schemaVersion"] == 2
    assert document["artifactType"] == MODEL_MANIFEST_TYPE
    assert document["config"] == {
        "mediaType": CONFIG_TYPE,
        "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
        "size": 2,
    }
    assert document["annotations"] == {TITLE: "digits", VERSION: "7"}
    assert document["layers"][0] == {
        "mediaType": WEIGHT_TYPE,
        "digest": DIGEST,
        "size": 1,
        "annotations": {TITLE: "model.onnx"},
    }


def test_the_config_shows_the_model_to_modelpack_s_own_tools():
    card = ModelCard("digits", "team", "MIT")
    config = json.loads(encode_config(card, 7, LAYERS))
    assert config["descriptor"]["name"] == "digits"
    assert config["descriptor"]["licenses"] == ["MIT"]
    assert config["modelfs"]["diffIds"] == [DIGEST] * 5


def test_a_bundle_gets_every_file_but_the_card():
    _, layers = decode_pushed_manifest(manifest())
    pushed = PushedModel("digits", 7, DIGEST, {}, layers)
    assert pushed.release == RELEASE
    assert [one.name for one in pushed.files][-1] == "golden.npz"
    assert pushed.layer(Role.CARD).name == "card.json"


def test_annotations_of_others_may_stand_beside_ours():
    body = changed(lambda d: d["annotations"].update({"org.example": "x"}))
    assert decode_pushed_manifest(body)[0] == RELEASE


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.pop("artifactType"), "has the artifactType"),
        (lambda d: d.update(artifactType="application/x"), "not 'application/x'"),
        (lambda d: d.update(mediaType="application/x"), "a pushed model is an"),
        (lambda d: d.update(schemaVersion=1), "schemaVersion"),
        (lambda d: d.update(subject={}), "unknown field 'subject'"),
        (lambda d: d.pop("config"), "'config'"),
        (lambda d: d.pop("annotations"), "'annotations'"),
        (lambda d: d["annotations"].pop(VERSION), VERSION),
        (lambda d: d["annotations"].update({VERSION: "v7"}), "not 'v7'"),
        (lambda d: d["annotations"].update({VERSION: "07"}), "not '07'"),
        (lambda d: d["annotations"].update({TITLE: "Digits"}), "not 'Digits'"),
        (lambda d: d["layers"].pop(0), r"lacks model\.onnx"),
        (lambda d: d["layers"].append(d["layers"][0]), "each layer once"),
        (lambda d: d["layers"][0].update(size=-1), "'size'"),
        (lambda d: d["layers"][0].update(size=LAYER_MAX_BYTES + 1), "'size'"),
        (lambda d: d["layers"][0].update(digest="sha512:00"), "digest"),
        (lambda d: d["layers"][0].update(mediaType=DATASET_TYPE), "has no layer"),
        (lambda d: d["layers"][1]["annotations"].update({TITLE: "../x"}), "plain file"),
        (lambda d: d["layers"][1]["annotations"].update({TITLE: "/x"}), "plain file"),
        (lambda d: d["layers"][1]["annotations"].update({TITLE: ".x"}), "plain file"),
        (lambda d: d["layers"][1].pop("annotations"), "'annotations'"),
        (lambda d: d.update(layers=d["layers"] * 20), "may hold 65 entries"),
    ],
)
def test_a_manifest_that_is_none_is_refused(change, sentence):
    with pytest.raises(MalformedError, match=sentence):
        decode_pushed_manifest(changed(change))


def test_a_manifest_that_is_too_long_is_refused_unread():
    with pytest.raises(LimitExceededError):
        decode_pushed_manifest(b" " * (PUSHED_MANIFEST_MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("role", "name", "digest", "length_bytes"),
    [
        (Role.MODEL, "other.onnx", DIGEST, 1),
        (Role.EXTERNAL_DATA, "model.onnx", DIGEST, 1),
        (Role.EXTERNAL_DATA, "a/b", DIGEST, 1),
        (Role.EXTERNAL_DATA, "weights.bin", "md5:00", 1),
        (Role.EXTERNAL_DATA, "weights.bin", DIGEST, -1),
        (Role.EXTERNAL_DATA, "weights.bin", DIGEST, LAYER_MAX_BYTES + 1),
    ],
)
def test_a_layer_that_cannot_be_is_refused(role, name, digest, length_bytes):
    with pytest.raises(MalformedError):
        Layer(role, name, digest, length_bytes)
