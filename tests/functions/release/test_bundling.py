"""A manifest says what the pushed files are, and what the checks found."""

from functions.release.bundling import Verdict, make_manifest
from packhorse.golden import DEFAULT_TOLERANCE
from packhorse.manifest import Member, RuntimeNeeds, TensorSpec, Tolerance
from packhorse.pushed_model import Layer, PushedModel, Role

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
    manifest = make_manifest(PUSHED, "fp32", VERDICT, {})

    assert manifest.members == (
        Member("model.onnx", 10, "1" * 64),
        Member("weights.bin", 20, "2" * 64),
        Member("golden.npz", 30, "3" * 64),
    )
    assert (str(manifest.release), manifest.variant) == ("magika@2", "fp32")
    assert manifest.source_digest == PUSHED.digest


def test_every_output_has_its_tolerance_written_down():
    wide = Tolerance(0.1, 0.1)

    manifest = make_manifest(PUSHED, "fp32", VERDICT, {"z": wide})

    assert manifest.tolerances == {"y": DEFAULT_TOLERANCE, "z": wide}
