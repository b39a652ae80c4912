"""A release is tried in a process of its own, and whatever it does is an answer."""

import contextlib
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from edge_runtime.agent.errors import (
    ReleaseRefusedError,
    SupersededError,
    TryError,
)
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.trial.try_job import Job, ShadowJob
from edge_runtime.agent.trial.try_out import check_runtime_takes, run_job
from edge_runtime.confined import BASE_MEMORY_BYTES
from edge_runtime.live_requests import encode_request, write_frames
from edge_runtime.slots import open_slots
from packhorse.inference.datatypes import numpy_type
from packhorse.manifest import RuntimeNeeds, TensorSpec
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import Tolerance
from tests import odd_models
from tests.edge_runtime.agent.bundles import (
    ROW,
    bundle_of,
    endless,
    endless_below_zero,
    greedy,
    make_bundle,
    not_a_number,
    release,
    scaled,
    square_root,
)
from tests.edge_runtime.gateways import wait_for


def tries():
    """Return the processes that try something for this one."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "edge_runtime.agent.trial.try_process" in child.cmdline():
                found.append(child)
    return found


@pytest.fixture
def job_of(state_dir, tmp_path):
    def install(body, name="b"):
        path = tmp_path / "some.bundle"
        path.write_bytes(body)
        slot = open_slots(state_dir).slot(name)
        install_bundle(path, slot)
        return slot.path

    def make(body, **changes):
        former = changes.pop("active", None)
        values = {
            "slot": install(body),
            "active": install(former, "a") if former else None,
            "shadow": None,
            "memory_bytes": BASE_MEMORY_BYTES,
            "cpu_s": 60,
        }
        return Job(**(values | changes))

    return make


ONE_LOOK = ShadowJob(time_s=0.0, requests=100)


@pytest.fixture
def handing_over(tmp_path):
    """Return a look that gives each batch of pairs (x, y) once."""

    def make(*batches):
        left = list(batches)

        def look():
            if not left:
                return None
            path = tmp_path / "recent"
            pairs = left.pop(0)
            write_frames(
                path, [encode_request(1, {"x": x}, {"y": y}) for x, y in pairs]
            )
            file = path.open("rb")
            path.unlink()
            return file

        return look

    return make


PAIRS = [(ROW, ROW), (np.array([[-1.0, 4.0, 9.0]], np.float32),) * 2]


def test_a_good_release_passes_and_is_measured(job_of, handing_over):
    active = make_bundle(release(1))
    job = job_of(make_bundle(release(2)), active=active, shadow=ONE_LOOK)

    measures = run_job(job, look=handing_over(PAIRS))

    assert measures["golden_samples"] == 2
    assert measures["golden_largest_difference"] == 0
    assert measures["shadow_requests"] == 2
    assert measures["shadow_agreement"] == 1.0
    assert measures["latency_ratio"] > 0
    assert measures["try_memory_bytes"] > 1e6


def test_nan_on_a_golden_sample_is_refused(job_of):
    job = job_of(make_bundle(release(2), not_a_number()))
    with pytest.raises(ReleaseRefusedError, match=r"golden sample 0: .* not finite"):
        run_job(job)


def test_a_golden_sample_outside_its_tolerance_is_refused(job_of):
    job = job_of(make_bundle(release(2), scaled(2.1)))
    with pytest.raises(ReleaseRefusedError, match="differs by"):
        run_job(job)


def test_nan_on_live_requests_is_refused_although_the_golden_samples_agree(
    job_of, handing_over
):
    body = make_bundle(release(2), square_root(), expected=np.sqrt(ROW))
    job = job_of(body, shadow=ONE_LOOK)
    with pytest.raises(
        ReleaseRefusedError, match=r"'y' .* on 1 of 2 live requests"
    ) as caught:
        run_job(job, look=handing_over(PAIRS))
    assert caught.value.measures["shadow_requests"] == 2


def test_a_shadow_run_goes_on_until_there_were_enough(job_of, handing_over):
    shadow = ShadowJob(time_s=60.0, requests=3)
    job = job_of(make_bundle(release(1)), shadow=shadow)
    begun_s = time.monotonic()

    measures = run_job(job, look=handing_over(PAIRS, PAIRS, PAIRS))

    assert measures["shadow_requests"] == 3
    assert time.monotonic() - begun_s < 20.0


def test_without_live_traffic_a_shadow_run_ends_by_itself_and_refuses_nothing(job_of):
    shadow = ShadowJob(0.3, 100, ShadowLimits(1.0, 0.001, min_requests=1))
    active = make_bundle(release(2), scaled(2.0))
    job = job_of(make_bundle(release(1)), active=active, shadow=shadow)

    measures = run_job(job)

    assert measures["shadow_requests"] == 0
    assert "shadow_agreement" not in measures
    assert measures["latency_ratio"] > 0


def test_too_little_agreement_is_refused_where_a_limit_is_signed(job_of, handing_over):
    limits = ShadowLimits(min_agreement=0.9, min_requests=2)
    job = job_of(
        make_bundle(release(2), scaled(-1.0), expected=-ROW),
        active=make_bundle(release(1)),
        shadow=ShadowJob(0.0, 100, limits),
    )
    with pytest.raises(
        ReleaseRefusedError, match=r"expected at least 90\.0%"
    ) as caught:
        run_job(job, look=handing_over(PAIRS))
    assert caught.value.measures["shadow_agreement"] == 0.0
    assert caught.value.measures["latency_ratio"] > 0


def test_a_shadow_run_ends_when_somebody_says_so(job_of):
    job = job_of(make_bundle(release(1)), shadow=ShadowJob(60.0, 100))
    calls = []

    def checkpoint():
        calls.append(1)
        if len(calls) > 2:
            raise SupersededError("halted")

    begun_s = time.monotonic()
    with pytest.raises(SupersededError):
        run_job(job, checkpoint=checkpoint)
    assert time.monotonic() - begun_s < 20.0
    assert not tries()


def test_a_process_that_is_killed_while_it_waits_for_requests_is_noticed_soon(job_of):
    job = job_of(make_bundle(release(1)), shadow=ShadowJob(60.0, 100))
    looked = threading.Event()
    begun_s = time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(run_job, job, look=looked.set)
        assert looked.wait(20.0)
        for child in tries():
            child.kill()

    with pytest.raises(TryError, match="killed"):
        trying.result()
    assert time.monotonic() - begun_s < 20.0


def test_a_model_that_never_ends_on_a_live_request_is_refused(job_of, handing_over):
    body = make_bundle(release(2), endless_below_zero(), expected=ROW)
    job = job_of(body, shadow=ONE_LOOK, cpu_s=2)
    with pytest.raises(ReleaseRefusedError, match="2 s of processor time"):
        run_job(job, look=handing_over(PAIRS))


def test_a_model_that_uses_up_its_processor_time_is_refused(job_of):
    job = job_of(make_bundle(release(2), endless()), cpu_s=2)
    with pytest.raises(ReleaseRefusedError, match="2 s of processor time"):
        run_job(job)


def test_a_model_that_takes_too_long_is_refused(job_of):
    job = job_of(make_bundle(release(2), endless()))
    with pytest.raises(ReleaseRefusedError, match=r"took longer than 2 s"):
        run_job(job, wall_s=2.0)


def test_a_try_that_is_killed_says_nothing_about_the_release(job_of):
    job = job_of(make_bundle(release(2), endless()))

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(run_job, job)
        for child in wait_for(tries):
            child.kill()

    with pytest.raises(TryError, match="killed"):
        trying.result()


def test_a_model_that_needs_too_much_memory_is_refused(job_of):
    job = job_of(make_bundle(release(2), greedy()))
    with pytest.raises(ReleaseRefusedError, match="failed while it ran"):
        run_job(job)


def test_a_try_that_does_not_work_says_nothing_about_the_release(job_of):
    job = job_of(make_bundle(release(2)), memory_bytes=60 * 1024**2)
    with pytest.raises(TryError):
        run_job(job)


def test_a_model_that_is_none_is_refused(job_of):
    job = job_of(make_bundle(release(2)))
    (job.slot / "model.onnx").write_bytes(b"\x08\x01nonsense")
    with pytest.raises(ReleaseRefusedError):
        run_job(job)


def test_an_active_release_of_another_signature_costs_only_the_ratio(job_of):
    job = job_of(make_bundle(release(2)), active=make_bundle(release(1)))
    (job.active / "model.onnx").write_bytes(b"gone")
    assert "latency_ratio" not in run_job(job)


def test_a_runtime_takes_what_it_knows():
    check_runtime_takes(RuntimeNeeds(8, {"": 17, "ai.onnx.ml": 3}, "1.15.0"))


@pytest.mark.parametrize(
    ("ir_version", "opset"), [(900, 17), (8, 9000)], ids=["representation", "operators"]
)
def test_a_bundle_too_new_for_the_runtime_is_refused(ir_version, opset):
    needs = RuntimeNeeds(ir_version, {"": opset}, "1.15.0")
    with pytest.raises(
        ReleaseRefusedError, match=f"IR {ir_version} .* ai.onnx {opset}"
    ):
        check_runtime_takes(needs)


def odd_bundle(datatype, **options):
    files = {
        "model.onnx": odd_models.identity(datatype),
        "golden.npz": odd_models.golden(datatype, **options),
    }
    inputs = (TensorSpec("x", datatype, (-1, 2)),)
    outputs = (TensorSpec("y", datatype, (-1, 2)),)
    return bundle_of(release(2), files, inputs=inputs, outputs=outputs)


def odd_rows(datatype, *rows):
    kind = np.object_ if datatype == "BYTES" else numpy_type(datatype)
    return np.array(rows).astype(kind)


ROWS_OF = {"BYTES": [["ein", "Pferd"], ["", "\N{HORSE}"]], "BF16": [[1, 2], [3, -1]]}


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_text_and_bf16_are_tried_and_shadowed(job_of, handing_over, datatype):
    body = odd_bundle(datatype)
    job = job_of(body, active=body, shadow=ONE_LOOK)
    x = odd_rows(datatype, *ROWS_OF[datatype])
    y = x.copy()
    y[1] = x[0]

    measures = run_job(job, look=handing_over([(x, x), (x, y)]))

    assert measures["golden_samples"] == 2
    assert measures["shadow_requests"] == 2
    assert measures["shadow_agreement"] == 0.5


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_wrong_text_and_bf16_on_a_golden_sample_is_refused(job_of, datatype):
    with pytest.raises(ReleaseRefusedError, match="golden sample 1: output 'y'"):
        run_job(job_of(odd_bundle(datatype, is_wrong=True)))


@pytest.mark.parametrize(
    ("architecture", "agrees"), [(platform.machine(), True), ("riscv64", False)]
)
def test_a_tolerance_counts_on_the_machine_that_it_is_for(job_of, architecture, agrees):
    wide = Tolerance(100.0, 0.0)
    tolerances = {"y": Tolerance(0.0, 0.0, architectures={architecture: wide})}
    job = job_of(make_bundle(release(2), scaled(2.1), tolerances=tolerances))
    with contextlib.nullcontext() if agrees else pytest.raises(ReleaseRefusedError):
        assert run_job(job)["golden_samples"] == 2


def test_another_winner_is_refused_unless_the_golden_one_led_by_little(job_of):
    def bundle(margin):
        expected = ROW + np.array([0, 12, 0], np.float32)
        tolerances = {"y": Tolerance(20.0, 0.0, margin)}
        return make_bundle(release(1), expected=expected, tolerances=tolerances)

    with pytest.raises(ReleaseRefusedError, match="another greatest element in 1 of"):
        run_job(job_of(bundle(0.5)))
    assert run_job(job_of(bundle(7.0)))["golden_largest_difference"] == 12.0
