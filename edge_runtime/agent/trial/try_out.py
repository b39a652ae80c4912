"""Try a release beside the active one before it may serve.

The work is done by `try_process.py` in a process of its own. Whatever becomes of
that process is an answer: it says yes, it says why not, it crashes, it takes too
long. All but the first refuse the release.
"""

import math
import signal
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.agent.errors import ReleaseRefusedError, TryError
from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.trial.feed import FINISH_S, Checkpoint, Feed, LiveRequests, Look
from edge_runtime.agent.trial.probe import probe_model
from edge_runtime.agent.trial.try_job import (
    ANSWER_MAX_BYTES,
    Job,
    ShadowJob,
    encode_job,
)
from edge_runtime.confined import BASE_MEMORY_BYTES, MEMORY_PER_BYTE, started_module
from edge_runtime.settings.agent_settings import ShadowSettings
from edge_runtime.slots import Slot
from edge_runtime.wording import signal_name
from packhorse.errors import MalformedError
from packhorse.manifest import MODEL_FILE, RuntimeNeeds
from packhorse.report import MEASURES_MAX
from packhorse.strict_json import Fields, decode_json

WALL_S = 180.0
CPU_S = 120

_CHILD = "edge_runtime.agent.trial.try_process"


def _go_on() -> None:
    """Let the try go on, whatever happens."""


def _see_nothing() -> None:
    """Find no live requests."""


def try_release(
    slot: Slot,
    active: Slot | None,
    supervisor: Supervisor,
    settings: ShadowSettings,
    checkpoint: Checkpoint = _go_on,
) -> Mapping[str, float]:
    """Load, warm, check and shadow the release in `slot`.

    Args:
        slot: Holds the release.
        active: Holds the one that serves; without it nothing is shadowed.
        supervisor: Has the live requests.
        settings: How long to shadow, and how strict this gateway is.
        checkpoint: Called about once a second; what it raises ends the try.

    Returns:
        Measures for the report.

    Raises:
        ReleaseRefusedError: It must not serve; the message says why.
        ControlError: The supervisor is not there.
        TryError: The try itself did not work.
    """
    job = Job(
        slot=slot.path,
        active=active.path if active else None,
        shadow=_shadow_job(slot, settings) if active else None,
        memory_bytes=_memory_bytes(slot, active),
        # Who shadows has a processor for half of the time.
        cpu_s=CPU_S + math.ceil(settings.time_s),
    )
    if active is None:
        return run_job(job, checkpoint=checkpoint)
    supervisor.status()
    requests = LiveRequests(supervisor)
    requests.clear()
    try:
        return run_job(job, look=requests.look, checkpoint=checkpoint)
    finally:
        requests.clear()


def check_runtime_takes(needs: RuntimeNeeds) -> None:
    """Ask this gateway's ONNX Runtime whether it takes such a model at all.

    Raises:
        ReleaseRefusedError: It does not.
    """
    with tempfile.TemporaryDirectory(prefix="packhorse-probe-") as folder:
        model = probe_model(needs.ir_version, needs.opsets)
        Path(folder, MODEL_FILE).write_bytes(model)
        job = Job(Path(folder), None, None, BASE_MEMORY_BYTES, CPU_S, is_probe=True)
        try:
            run_job(job)
        except ReleaseRefusedError as error:
            opsets = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in needs.opsets.items())
            raise ReleaseRefusedError(
                f"the bundle needs ONNX IR {needs.ir_version} and operator sets"
                f" {opsets}, which this gateway's runtime does not take: {error}"
            ) from error


def run_job(
    job: Job,
    *,
    look: Look = _see_nothing,
    checkpoint: Checkpoint = _go_on,
    wall_s: float = WALL_S,
) -> Mapping[str, float]:
    """Run one job in a process of its own, and return its measures.

    Args:
        job: What to try.
        look: Where live requests come from.
        checkpoint: Called about once a second; what it raises ends the try.
        wall_s: Longest time until the shadow run begins.

    Raises:
        ReleaseRefusedError: It did not end well.
        TryError: It could not be run.
    """
    with tempfile.TemporaryFile() as out:
        code = _run(job, out.fileno(), look, checkpoint, wall_s)
        out.seek(0)
        answer = out.read(ANSWER_MAX_BYTES + 1)
    if code is None:
        raise ReleaseRefusedError(_too_long(job, wall_s))
    if code > 0:
        # An error in our own module, or in what is installed: no word on the model.
        raise TryError(f"the try process ended with the code {code}")
    if code == -signal.SIGKILL:
        # From outside: by a person, or for want of memory. It is tried again.
        raise TryError("the try process was killed")
    if code < 0:
        raise ReleaseRefusedError(_describe(code, job))
    return _read_answer(answer)


def _run(
    job: Job, out: int, look: Look, checkpoint: Checkpoint, wall_s: float
) -> int | None:
    """Run the job's process to its end, or until its time is up."""
    line, theirs = socket.socketpair()
    arguments = [encode_job(job).decode()]
    time_s = job.shadow.time_s if job.shadow else 0.0
    with line, theirs:
        started = started_module(_CHILD, arguments, out, line=theirs.fileno())
        with started as child:
            theirs.close()
            return Feed(look, time_s, line).wait(child, wall_s, checkpoint)


def _shadow_job(slot: Slot, settings: ShadowSettings) -> ShadowJob:
    """Return what this gateway and the release's owner ask for together."""
    limits = slot.manifest().shadow.tightened(settings.limits)
    requests = settings.requests
    if limits.can_refuse:
        requests = max(requests, limits.min_requests)
    return ShadowJob(settings.time_s, requests, limits)


def _describe(code: int, job: Job) -> str:
    """Say in words by which signal the process ended."""
    if code == -signal.SIGXCPU:
        return f"the try may use {job.cpu_s} s of processor time, and used more"
    return f"the model crashed the try process ({signal_name(-code)})"


def _too_long(job: Job, wall_s: float) -> str:
    if job.shadow is None:
        return f"the try took longer than {wall_s:g} s"
    return (
        f"the try took longer than {wall_s:g} s, or a run on a live request did not"
        f" end within {FINISH_S:g} s"
    )


def _read_answer(body: bytes) -> Mapping[str, float]:
    try:
        document = decode_json(body, what="try answer", limit_bytes=ANSWER_MAX_BYTES)
        fields = Fields(document, "the try's answer")
        reason = fields.text("reason", max_length=ANSWER_MAX_BYTES)
        named = Fields(
            found := fields.mapping("measures", max_items=MEASURES_MAX), "it"
        )
        measures = {name: named.number(name) for name in found}
    except MalformedError as error:
        raise ReleaseRefusedError("the try process gave no whole answer") from error
    if reason:
        raise ReleaseRefusedError(reason, measures)
    return measures


def _memory_bytes(slot: Slot, active: Slot | None) -> int:
    lengths = [
        member.length_bytes
        for tried in (slot, active)
        if tried is not None
        for member in tried.manifest().members
    ]
    return BASE_MEMORY_BYTES + MEMORY_PER_BYTE * sum(lengths)
