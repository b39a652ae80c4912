"""Run a candidate where it can do no harm: a process of its own, under limits.

Started by `try_out.py` as `python -m edge_runtime.agent.trial.try_process JOB`, with
the job as JSON; answers with one JSON object on standard output. The limits are
set before ONNX Runtime is imported, so its reader works under them too. The
process ends when the agent ends.
"""

import math
import os
import platform
import resource
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.agent.errors import ReleaseRefusedError
from edge_runtime.agent.trial.race import Race, Run
from edge_runtime.agent.trial.shadow import Shadow, ShadowRun
from edge_runtime.agent.trial.try_job import (
    ANSWER_MAX_BYTES,
    ASKING,
    Job,
    ShadowJob,
    decode_job,
)
from edge_runtime.confined import confine, step_back
from edge_runtime.errors import ModelError
from edge_runtime.live_requests import LiveRequest, read_requests
from edge_runtime.run_watch import RunWatch
from packhorse.comparison import compare_outputs
from packhorse.errors import PackhorseError
from packhorse.golden import GoldenSamples, check_golden, read_golden
from packhorse.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MANIFEST_MAX_BYTES,
    MODEL_FILE,
    Manifest,
    decode_manifest,
)
from packhorse.shadow_limits import NO_LIMITS
from packhorse.strict_json import encode_json
from packhorse.tolerance import Tolerance, tolerances_on

if TYPE_CHECKING:
    from edge_runtime.model_session import ModelSession

RUN_S = 30.0
"""Longest run on a live request: as long as a worker gives it, unless it is told."""

_WATCH_S = 86_400.0
"""Limits set here are shorter; past twice this one, a watch ends its process."""

_STDIN = 0


def main(argument: str) -> None:
    """Do the job and print what became of it."""
    job = decode_job(argument.encode())
    confine(
        memory_bytes=job.memory_bytes, cpu_s=job.cpu_s, output_bytes=ANSWER_MAX_BYTES
    )
    # Whatever fails before the model is touched is no word on it: exit code 1.
    import edge_runtime.model_session  # noqa: F401, PLC0415 - under limits

    reason, measures = "", dict[str, float]()
    try:
        measures = _try(job)
    except ReleaseRefusedError as error:
        reason, measures = str(error), dict(error.measures)
    except (ModelError, PackhorseError) as error:
        reason = str(error)
    except MemoryError:
        reason = f"it needs more than {job.memory_bytes / 1024**2:.0f} MB of memory"
    sys.stdout.buffer.write(encode_json({"reason": reason, "measures": measures}))


def _try(job: Job) -> dict[str, float]:
    """Load, warm, run the golden samples and the live requests.

    Raises:
        ReleaseRefusedError: One of them went wrong.
    """
    from edge_runtime.model_session import ModelSession  # noqa: PLC0415 - under limits

    if job.is_probe:
        ModelSession(job.slot / MODEL_FILE)
        return {}
    started_at = time.monotonic()
    manifest = _read_manifest(job.slot)
    session = ModelSession(job.slot / MODEL_FILE, watch=RunWatch(_WATCH_S))
    measures = {"try_load_s": time.monotonic() - started_at}
    tolerances = tolerances_on(platform.machine(), manifest.tolerances)
    samples = _read_samples(job.slot, manifest, session)
    measures |= _run_golden(samples, tolerances, session)
    shadow = _run_live(job, samples, tolerances, session)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measures |= {**shadow.measures, "try_memory_bytes": peak_kb * 1024.0}
    if shadow.reason:
        raise ReleaseRefusedError(shadow.reason, measures)
    return measures


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
            raise ReleaseRefusedError(
                f"the model's {side} are not those of its manifest"
            )
    with (slot / GOLDEN_FILE).open("rb") as file:
        samples = read_golden(file)
    return check_golden(samples, manifest.inputs, manifest.outputs)


def _run_golden(
    samples: GoldenSamples,
    tolerances: Mapping[str, Tolerance],
    session: "ModelSession",
) -> dict[str, float]:
    """Run every golden sample; the first one twice, to warm up."""
    session.run(samples.sample_inputs(0))
    largest = 0.0
    for index in range(samples.count):
        got = session.run(samples.sample_inputs(index))
        golden = {n: a[index : index + 1] for n, a in samples.outputs.items()}
        comparison = compare_outputs(golden, got, tolerances)
        if not comparison.agrees:
            raise ReleaseRefusedError(f"golden sample {index}: {comparison.reason}")
        largest = max(largest, *comparison.largest_difference.values())
    return {
        "golden_samples": float(samples.count),
        "golden_largest_difference": largest,
    }


def _run_live(
    job: Job,
    samples: GoldenSamples,
    tolerances: Mapping[str, Tolerance],
    session: "ModelSession",
) -> Shadow:
    """Answer live requests beside the active release; without any, time the samples."""
    step_back()
    run = partial(session.run, limit_s=RUN_S)
    race = _make_race(run, job.active) if job.active else None
    shadow = ShadowRun(run, tolerances, race)
    begun_s = time.monotonic()
    for request in _requests(shadow, job.shadow) if job.shadow else ():
        shadow.answer(request)
    took_s = time.monotonic() - begun_s
    if race is not None and not shadow.count:
        for index in range(samples.count):
            race.enter(samples.sample_inputs(index), list(samples.outputs))
    result = shadow.result(job.shadow.limits if job.shadow else NO_LIMITS)
    return replace(result, measures={**result.measures, "shadow_s": took_s})


def _make_race(run: Run, active: Path) -> Race | None:
    """Load the active release too; None when it cannot be."""
    from edge_runtime.model_session import ModelSession  # noqa: PLC0415 - under limits

    try:
        former = ModelSession(active / MODEL_FILE, watch=RunWatch(_WATCH_S))
    except ModelError:
        return None
    return Race(run, partial(former.run, limit_s=RUN_S))


def _requests(shadow: ShadowRun, job: ShadowJob) -> Iterator[LiveRequest]:
    """Yield what the agent hands over, until it is enough or time is up."""
    # Without any time, what has come lately is answered, however long it takes.
    until_s = time.monotonic() + (job.time_s or math.inf)
    with socket.socket(fileno=os.dup(_STDIN)) as line:
        while shadow.count < job.requests and not shadow.is_over:
            batch = _ask(line)
            if batch is None:
                return
            for request in batch[: job.requests - shadow.count]:
                begun_s = time.monotonic()
                yield request
                left_s, took_s = until_s - time.monotonic(), time.monotonic() - begun_s
                if left_s <= 0 or took_s > RUN_S:
                    return
                # Half of the time at most belongs to us, also on an idle machine.
                time.sleep(min(took_s, left_s))


def _ask(line: socket.socket) -> list[LiveRequest] | None:
    """Ask the agent for live requests; None when there will be no more."""
    line.sendall(ASKING)
    word, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    if not word or not descriptors:
        return None
    with os.fdopen(descriptors[0], "rb") as file:
        return read_requests(file)


if __name__ == "__main__":
    main(sys.argv[1])
