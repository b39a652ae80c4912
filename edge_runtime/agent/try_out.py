"""Try a release beside the active one before it may serve.

The work is done by `try_process.py` in a process of its own. Whatever becomes of
that process is an answer: it says yes, it says why not, it crashes, it takes too
long. All but the first refuse the release.
"""

import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import ReleaseRefusedError, TryError
from edge_runtime.agent.probe import probe_model
from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.try_job import ANSWER_MAX_BYTES, Job, encode_job
from edge_runtime.confined import BASE_MEMORY_BYTES, MEMORY_PER_BYTE, run_module
from edge_runtime.slots import Slot
from packhorse.errors import MalformedError
from packhorse.manifest import MODEL_FILE, RuntimeNeeds
from packhorse.report import MEASURES_MAX
from packhorse.strict_json import Fields, decode_json

WALL_S = 180.0
CPU_S = 120

_CHILD = "edge_runtime.agent.try_process"


def try_release(
    slot: Slot, active: Slot | None, supervisor: Supervisor
) -> Mapping[str, float]:
    """Load, warm, check and shadow the release in `slot`.

    Returns:
        Measures for the report.

    Raises:
        ReleaseRefusedError: It must not serve; the message says why.
        ControlError: The live requests could not be had now.
        TryError: The try itself did not work.
    """
    recent = supervisor.state_dir / "run" / "recent.npz"
    try:
        has_requests = active is not None and supervisor.write_recent(recent)
        job = Job(
            slot=slot.path,
            active=active.path if active else None,
            recent=recent if has_requests else None,
            memory_bytes=_memory_bytes(slot, active),
            cpu_s=CPU_S,
        )
        return run_job(job)
    finally:
        # Live requests are somebody's data: they stay no longer than needed.
        durable.unlink(recent)


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


def run_job(job: Job, *, wall_s: float = WALL_S) -> Mapping[str, float]:
    """Run one job in a process of its own, and return its measures.

    Raises:
        ReleaseRefusedError: It did not end well.
        TryError: It could not be run.
    """
    with tempfile.TemporaryFile() as out:
        arguments = [encode_job(job).decode()]
        code = run_module(_CHILD, arguments, out.fileno(), wall_s=wall_s)
        out.seek(0)
        answer = out.read(ANSWER_MAX_BYTES + 1)
    if code is None:
        raise ReleaseRefusedError(f"the try took longer than {wall_s:g} s")
    if code > 0:
        # An error in our own module, or in what is installed: no word on the model.
        raise TryError(f"the try process ended with the code {code}")
    if code == -signal.SIGKILL:
        # From outside: by a person, or for want of memory. It is tried again.
        raise TryError("the try process was killed")
    if code < 0:
        raise ReleaseRefusedError(_describe(code, job))
    return _read_answer(answer)


def _describe(code: int, job: Job) -> str:
    """Say in words by which signal the process ended."""
    if code == -signal.SIGXCPU:
        return f"the try may use {job.cpu_s} s of processor time, and used more"
    return f"the model crashed the try process ({signal.Signals(-code).name})"


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
        raise ReleaseRefusedError(reason)
    return measures


def _memory_bytes(slot: Slot, active: Slot | None) -> int:
    lengths = [
        member.length_bytes
        for tried in (slot, active)
        if tried is not None
        for member in tried.manifest().members
    ]
    return BASE_MEMORY_BYTES + MEMORY_PER_BYTE * sum(lengths)
