"""A manifest says what the pushed files are, and what the checks found."""

from dataclasses import replace

from functions.release.bundling import Verdict, make_manifest
from packhorse.manifest import Member, RuntimeNeeds, TensorSpec
from packhorse.model_card import ModelCard
from packhorse.pushed_model import Layer, PushedModel, Role
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import DEFAULT_TOLERANCE, Tolerance

CARD = ModelCard("magika", "the team", "Apache-2.0")
PUSHED = PushedModel(
    name="magika",
    version=2,
    digest="sha256:" + "0" * 64,
    card={},
    layers=(
        Layer(Role.MODEL, "model.onnx", "sha256:" + "1" * 64, 10),
        Layer(Role.EXTERNAL_DATA, "weights.bin", "sha256:" + "2" * 64, 20),
        Layer(Role.GOLDEN, "golden.npz", "sha256:" + "3" * 64, 30),
        Layer(Role.CARD, "card.json", "sha256:" + "4" * 64, 40),
    ),
)
VERDICT = Verdict(
    inputs=(TensorSpec("x", "FP32", (-1, 2)),),
    outputs=(TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,))),
    needs=RuntimeNeeds(8, {"": 15}, "1.17.0"),
)


def test_a_manifest_lists_the_pushed_files_in_the_bundles_order():
    manifest = make_manifest(PUSHED, "fp32", VERDICT, CARD)

    assert manifest.members == (
        Member("model.onnx", 10, "1" * 64),
        Member("weights.bin", 20, "2" * 64),
        Member("golden.npz", 30, "3" * 64),
    )
    assert (str(manifest.release), manifest.variant) == ("magika@2", "fp32")
    assert manifest.source_digest == PUSHED.digest


def test_every_output_has_its_tolerance_written_down():
    wide = Tolerance(0.1, 0.1)

    card = replace(CARD, tolerances={"z": wide})
    manifest = make_manifest(PUSHED, "fp32", VERDICT, card)

    assert manifest.tolerances == {"y": DEFAULT_TOLERANCE, "z": wide}


def test_the_cards_limits_of_the_shadow_run_are_signed_with_the_bundle():
    limits = ShadowLimits(min_agreement=0.9)

    manifest = make_manifest(PUSHED, "fp32", VERDICT, replace(CARD, shadow=limits))

    assert manifest.shadow == limits
