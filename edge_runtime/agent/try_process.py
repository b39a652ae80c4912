"""Run a candidate where it can do no harm: a process of its own, under limits.

Started by `try_out.py` as `python -m edge_runtime.agent.try_process JOB`, with
the job as JSON; answers with one JSON object on standard output. The limits are
set before ONNX Runtime is imported, so its reader works under them too. The
process ends when the agent ends.
"""

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.agent.shadow import LiveRequest, Shadow, read_recent, run_shadow
from edge_runtime.agent.try_job import ANSWER_MAX_BYTES, Job, decode_job
from edge_runtime.confined import confine
from edge_runtime.errors import EdgeError, ModelError
from packhorse.errors import PackhorseError
from packhorse.golden import GoldenSamples, check_golden, compare_outputs, read_golden
from packhorse.inference.signature import Arrays
from packhorse.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MANIFEST_MAX_BYTES,
    MODEL_FILE,
    Manifest,
    decode_manifest,
)
from packhorse.strict_json import encode_json

if TYPE_CHECKING:
    from edge_runtime.model_session import ModelSession

_TIMED_MAX = 8
"""Requests timed on both models; more says nothing new and costs processor."""


class RefusedError(EdgeError):
    """The candidate failed; the message is the sentence that says how."""


def main(argument: str) -> None:
    """Do the job and print what became of it."""
    job = decode_job(argument.encode())
    confine(
        memory_bytes=job.memory_bytes, cpu_s=job.cpu_s, output_bytes=ANSWER_MAX_BYTES
    )
    # Whatever fails before the model is touched is no word on it: exit code 1.
    import edge_runtime.model_session  # noqa: F401, PLC0415 - under limits

    try:
        answer = {"reason": "", "measures": _try(job)}
    except RefusedError as error:
        answer = {"reason": str(error), "measures": {}}
    except (ModelError, PackhorseError) as error:
        answer = {"reason": str(error), "measures": {}}
    except MemoryError:
        limit = f"{job.memory_bytes / 1024**2:.0f} MB"
        answer = {"reason": f"it needs more than {limit} of memory", "measures": {}}
    sys.stdout.buffer.write(encode_json(answer))


def _try(job: Job) -> dict[str, float]:
    """Load, warm, run the golden samples and the live requests.

    Raises:
        RefusedError: One of them went wrong.
    """
    from edge_runtime.model_session import ModelSession  # noqa: PLC0415 - under limits

    if job.is_probe:
        ModelSession(job.slot / MODEL_FILE)
        return {}
    started_at = time.monotonic()
    manifest = _read_manifest(job.slot)
    session = ModelSession(job.slot / MODEL_FILE)
    measures = {"try_load_s": time.monotonic() - started_at}
    samples = _read_samples(job.slot, manifest, session)
    measures |= _run_golden(samples, manifest, session)
    requests = read_recent(job.recent) if job.recent else []
    shadow = _run_live(requests, manifest, session)
    if shadow.reason:
        raise RefusedError(shadow.reason)
    measures |= shadow.measures
    if job.active is not None:
        inputs = [r.inputs for r in requests] or [samples.sample_inputs(0)]
        measures |= _compare_latency(inputs, session, job.active)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return measures | {"try_memory_bytes": peak_kb * 1024.0}


def _read_manifest(slot: Path) -> Manifest:
    with (slot / MANIFEST_FILE).open("rb") as file:
        return decode_manifest(file.read(MANIFEST_MAX_BYTES + 1))


def _read_samples(
    slot: Path, manifest: Manifest, session: "ModelSession"
) -> GoldenSamples:
    """Read the golden samples, and hold the manifest to the model itself."""
    for side, said, found in (
        ("inputs", manifest.inputs, session.inputs),
        ("outputs", manifest.outputs, session.outputs),
    ):
        if {(s.name, s.datatype) for s in said} != {
            (s.name, s.datatype) for s in found
        }:
            raise RefusedError(f"the model's {side} are not those of its manifest")
    with (slot / GOLDEN_FILE).open("rb") as file:
        samples = read_golden(file)
    check_golden(samples, manifest.inputs, manifest.outputs)
    return samples


def _run_golden(
    samples: GoldenSamples, manifest: Manifest, session: "ModelSession"
) -> dict[str, float]:
    """Run every golden sample; the first one twice, to warm up."""
    session.run(samples.sample_inputs(0))
    largest = 0.0
    for index in range(samples.count):
        got = session.run(samples.sample_inputs(index))
        golden = {n: a[index : index + 1] for n, a in samples.outputs.items()}
        comparison = compare_outputs(golden, got, manifest.tolerances)
        if not comparison.agrees:
            raise RefusedError(f"golden sample {index}: {comparison.reason}")
        largest = max(largest, *comparison.largest_difference.values())
    return {
        "golden_samples": float(samples.count),
        "golden_largest_difference": largest,
    }


def _run_live(
    requests: Sequence[LiveRequest], manifest: Manifest, session: "ModelSession"
) -> Shadow:
    return run_shadow(requests, session.run, manifest.tolerances)


def _compare_latency(
    inputs: Sequence[Arrays], session: "ModelSession", active: Path
) -> dict[str, float]:
    """Time both releases on the same inputs; nothing when the active one cannot."""
    from edge_runtime.model_session import ModelSession  # noqa: PLC0415 - under limits

    timed = inputs[-_TIMED_MAX:]
    try:
        former_s = _median_s(ModelSession(active / MODEL_FILE), timed)
        took_s = _median_s(session, timed)
    except ModelError:
        # Inputs of another signature: no ratio can be told.
        return {}
    return {"latency_s": took_s, "latency_ratio": took_s / max(former_s, 1e-9)}


def _median_s(session: "ModelSession", inputs: Sequence[Arrays]) -> float:
    session.run(inputs[0])
    times = []
    for one in inputs:
        started_at = time.perf_counter()
        session.run(one)
        times.append(time.perf_counter() - started_at)
    return statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1])
