"""What a model must be, and what a hostile one cannot do."""

import os
import platform
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.adapters import onnx_checker
from functions.adapters.onnx_checker import check_model
from functions.errors import ReleaseRefusedError, UpstreamUnavailableError
from packhorse.manifest import TensorSpec
from packhorse.tolerance import Tolerance
from tests import odd_models
from tests.functions import pushes
from tests.functions.pushes import external, golden, model, node


@pytest.fixture
def check(tmp_path):
    """Check a push made of these files; a good one unless told otherwise."""

    def run(onnx_model=None, samples=None, tolerances=None, **others):
        for name, body in pushes.files(onnx_model, samples, **others).items():
            (tmp_path / name).write_bytes(body)
        return check_model(tmp_path, tolerances or {})

    return run


@pytest.fixture
def dying(tmp_path_factory, monkeypatch):
    """Put a child in the place of ours that reads its task and ends."""

    def replace(end):
        folder = tmp_path_factory.mktemp("code")
        (folder / "dying.py").write_text(f"import os, sys; sys.stdin.read(); {end}")
        monkeypatch.setattr(onnx_checker, "_ROOT", folder)
        monkeypatch.setattr(onnx_checker, "_CHILD", "dying")

    return replace


def refused(check, sentence, *args, **options):
    with pytest.raises(ReleaseRefusedError, match=sentence) as caught:
        check(*args, **options)
    return str(caught.value)


def test_a_good_model_passes_and_says_what_it_is(check):
    verdict = check()

    assert verdict.inputs == (TensorSpec("x", "FP32", (-1, 3)),)
    assert verdict.outputs == (TensorSpec("y", "FP32", (-1, 2)),)
    assert verdict.needs.ir_version == 8
    assert verdict.needs.opsets == {"": 17}
    assert verdict.needs.min_onnxruntime == "1.12.0"


def test_weights_beside_the_model_are_part_of_it(check):
    body = pushes.WEIGHTS.tobytes()
    assert check(model(initializers=[external()]), weights_bin=body).inputs


def test_weights_that_end_too_soon_are_refused(check):
    hostile = model(initializers=[external(offset=1)])
    refused(check, "checker refuses|cannot load", hostile, weights_bin=b"x" * 24)


def test_hostile_files_are_refused_before_a_runtime_sees_them(check):
    hostile = model(initializers=[external("../../etc/passwd")])
    refused(check, "none of the pushed files", hostile)
    refused(check, r"model\.onnx is no ONNX model", b"not a model")


def test_a_model_that_asks_for_all_memory_is_refused(check):
    shape = numpy_helper.from_array(np.array([40_000_000_000], np.int64), "shape")
    hostile = model(
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["a"]),
        node(inputs=("a", "w")),
        initializers=[shape, numpy_helper.from_array(pushes.WEIGHTS, "w")],
    )
    refused(check, "cannot load|fails on golden|needs more memory|gives up", hostile)


def test_a_model_that_never_ends_is_stopped(check, monkeypatch):
    monkeypatch.setattr(onnx_checker, "CPU_LIMIT_S", 2)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Sin", ["v"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["N", 3]),
        ],
    )
    endless = model(
        helper.make_node("Loop", ["max", "yes", "x"], ["a"], body=body),
        node(inputs=("a", "w")),
        initializers=[
            numpy_helper.from_array(np.array(2**60, np.int64), "max"),
            numpy_helper.from_array(np.bool_(1), "yes"),
            numpy_helper.from_array(pushes.WEIGHTS, "w"),
        ],
    )
    refused(check, "CPU time", endless)


def test_a_trial_that_gets_no_time_can_be_repeated(check, monkeypatch):
    monkeypatch.setattr(onnx_checker, "WALL_LIMIT_S", 0.01)
    with pytest.raises(UpstreamUnavailableError, match="within"):
        check()


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (b"no archive", "must be an npz archive"),
        (pushes.pickled_npz(), "without Python objects"),
        (pushes.bomb_npz(), "may unpack to"),
        (golden(np.zeros((4, 3), np.float32)), r"must have the shape \(samples, 2\)"),
        (golden(np.zeros((4, 2), np.float64)), "must be FP32, not float64"),
        (golden(np.full((4, 2), np.nan, np.float32)), "NaN"),
        (golden(np.full((4, 2), np.inf, np.float32)), "infinity"),
        (golden(np.zeros((4, 2), np.float32)), "golden sample 0: output 'y' differs"),
    ],
    ids=["noise", "pickle", "bomb", "shape", "type", "nan", "inf", "values"],
)
def test_golden_samples_that_are_not_the_model_s_are_refused(check, samples, sentence):
    refused(check, sentence, None, samples)


def test_a_model_that_answers_nan_is_refused(check):
    nan = numpy_helper.from_array(np.full((3, 2), np.nan, np.float32), "w")
    refused(
        check,
        "golden sample 0: output 'y' is not finite .NaN",
        model(initializers=[nan]),
    )


def test_a_tolerance_decides_what_agrees(check):
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    off = golden((x @ pushes.WEIGHTS + 0.01).astype(np.float32))

    assert check(None, off, {"y": Tolerance(0.02, 0.0)}).outputs
    refused(check, "differs by 0.01", None, off)


def test_a_tolerance_for_no_output_is_refused(check):
    refused(
        check,
        "output of the model, \\['y'\\], not 'z'",
        tolerances={"z": Tolerance(1, 1)},
    )


def test_a_graph_that_contradicts_itself_is_refused(check):
    refused(check, "checker refuses|cannot load", model(node(inputs=("x", "absent"))))


def test_a_pushed_file_is_never_imported(check, tmp_path):
    marker = tmp_path.parent / "imported"
    code = f"open({str(marker)!r}, 'w')".encode()
    check(json_py=code, numpy_py=code, onnx_py=code)
    assert not marker.exists()


def test_the_trial_gets_nothing_of_the_function_s_environment(check, monkeypatch):
    monkeypatch.setenv("PYTHONSTARTUP", "/nonexistent")
    monkeypatch.setenv("SECRET", "x")
    assert check().inputs
    assert os.environ["SECRET"] == "x"


@pytest.mark.parametrize(
    ("end", "error", "sentence"),
    [
        ("os.kill(os.getpid(), 9)", UpstreamUnavailableError, "killed from outside"),
        ("os.kill(os.getpid(), 11)", ReleaseRefusedError, "the runtime crashes on it"),
        ("os.abort()", ReleaseRefusedError, "the runtime gives up on it"),
        ("os._exit(3)", ReleaseRefusedError, "the trial ended with code 3"),
        ("os._exit(0)", ReleaseRefusedError, "the trial ended with code 0"),
    ],
)
def test_a_trial_that_dies_says_what_of(check, dying, end, error, sentence):
    dying(end)
    with pytest.raises(error, match=sentence):
        check()


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_a_model_of_what_numpy_has_no_type_for_passes(check, datatype):
    body = odd_models.identity(datatype)
    assert check(body, odd_models.golden(datatype)).inputs[0].datatype == datatype


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_golden_samples_of_text_and_bf16_are_compared(check, datatype):
    samples = odd_models.golden(datatype, is_wrong=True)
    refused(
        check, "golden sample 1: output 'y'", odd_models.identity(datatype), samples
    )


def test_an_argmax_margin_can_be_given_for_numbers_only(check):
    tolerances = {"y": Tolerance(0.0, 0.0, 0.1)}
    body, samples = odd_models.identity("BYTES"), odd_models.golden("BYTES")
    refused(check, "needs an output of numbers", body, samples, tolerances)


def test_a_tolerance_holds_on_the_architecture_that_it_names(check):
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    off = golden((x @ pushes.WEIGHTS + 0.01).astype(np.float32))
    wide, narrow = Tolerance(0.02, 0.0), Tolerance(0.001, 0.0)
    here, elsewhere = {platform.machine(): wide}, {"riscv64": wide}

    assert check(None, off, {"y": replace(narrow, architectures=here)}).outputs
    refused(
        check, "differs", None, off, {"y": replace(narrow, architectures=elsewhere)}
    )
