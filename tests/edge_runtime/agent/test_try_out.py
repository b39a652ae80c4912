"""A release is tried in a process of its own, and whatever it does is an answer."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from edge_runtime.agent.errors import ReleaseRefusedError, TryError
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.try_job import Job
from edge_runtime.agent.try_out import check_runtime_takes, run_job
from edge_runtime.confined import BASE_MEMORY_BYTES
from edge_runtime.slots import open_slots
from packhorse.manifest import RuntimeNeeds
from tests.edge_runtime.agent.bundles import (
    ROW,
    endless,
    greedy,
    make_bundle,
    not_a_number,
    release,
    scaled,
    square_root,
)
from tests.edge_runtime.gateways import wait_for


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
            "recent": None,
            "memory_bytes": BASE_MEMORY_BYTES,
            "cpu_s": 60,
        }
        return Job(**(values | changes))

    return make


@pytest.fixture
def recent(tmp_path):
    path = tmp_path / "recent.npz"
    x = np.array([[-1.0, 4.0, 9.0]], np.float32)
    arrays = {"i.0.input.x": ROW, "i.0.output.y": ROW}
    arrays |= {"i.1.input.x": x, "i.1.output.y": x}
    np.savez(path, **arrays)
    return path


def test_a_good_release_passes_and_is_measured(job_of, recent):
    job = job_of(make_bundle(release(2)), active=make_bundle(release(1)), recent=recent)

    measures = run_job(job)

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
    job_of, recent
):
    body = make_bundle(release(2), square_root(), expected=np.sqrt(ROW))
    with pytest.raises(ReleaseRefusedError, match=r"'y' .* on 1 of 2 live requests"):
        run_job(job_of(body, recent=recent))


def test_a_model_that_uses_up_its_processor_time_is_refused(job_of):
    job = job_of(make_bundle(release(2), endless()), cpu_s=3)
    with pytest.raises(ReleaseRefusedError, match="3 s of processor time"):
        run_job(job)


def test_a_model_that_takes_too_long_is_refused(job_of):
    job = job_of(make_bundle(release(2), endless()))
    with pytest.raises(ReleaseRefusedError, match=r"took longer than 2 s"):
        run_job(job, wall_s=2.0)


def test_a_try_that_is_killed_says_nothing_about_the_release(job_of):
    job = job_of(make_bundle(release(2), endless()))

    def tries():
        # Other children of this process serve other tests.
        found = []
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if "edge_runtime.agent.try_process" in child.cmdline():
                    found.append(child)
        return found

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
