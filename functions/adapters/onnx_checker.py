"""Have a pushed model tried in a child process, and believe little of it.

The child gets no descriptor but its own three, no environment but where to find
this code, and limits on memory, CPU time and what it may write. What it says is
read strictly; when it says nothing, how it ended says why.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from functions.adapters.onnx_child import VERDICT_MAX_BYTES
from functions.errors import ReleaseRefusedError, UpstreamUnavailableError
from functions.release.bundling import Verdict
from packhorse.manifest import RuntimeNeeds, TensorSpec
from packhorse.strict_json import Fields, decode_json, encode_json
from packhorse.tolerance import Tolerance, encode_tolerances

CPU_LIMIT_S = 120
"""A gateway runs the same golden samples before each switch: far too long there."""
WALL_LIMIT_S = 240
"""Twice the CPU time, for a busy machine; under half of the function's timeout."""
BASE_MEMORY_BYTES = 1024**3
"""Address space of Python, onnx and ONNX Runtime without a model: 230 MB measured."""
MEMORY_PER_BYTE = 4
"""For the file, the parsed model, the optimised one and its prepacked weights."""

_ROOT = Path(__file__).parents[2]
_CHILD = "functions.adapters.onnx_child"
_REFUSALS = {
    signal.SIGXCPU: f"it takes more than {CPU_LIMIT_S} s of CPU time",
    signal.SIGSEGV: "the runtime crashes on it",
    signal.SIGABRT: "the runtime gives up on it, most likely for want of memory",
    signal.SIGBUS: "the runtime crashes on it",
    signal.SIGILL: "the runtime crashes on it",
    signal.SIGFPE: "the runtime crashes on it",
    signal.SIGXFSZ: "it makes the runtime write files",
}


def check_model(folder: Path, tolerances: Mapping[str, Tolerance]) -> Verdict:
    """Check and try the model in `folder`, which holds the pushed files and no other.

    Raises:
        ReleaseRefusedError: The model fails; the message says at what.
        UpstreamUnavailableError: The child was killed from outside, or had no time.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    task = {
        "folder": str(folder.absolute()),
        "cpu_s": CPU_LIMIT_S,
        "memory_bytes": BASE_MEMORY_BYTES + MEMORY_PER_BYTE * size,
        "tolerances": encode_tolerances(tolerances),
    }
    with tempfile.TemporaryFile() as out:
        with _child(out.fileno()) as child:
            code = _finish(child, encode_json(task))
        out.seek(0)
        answer = out.read(VERDICT_MAX_BYTES + 1)
    if code != 0 or not answer:
        raise _ending(code)
    return _decode(answer)


@contextmanager
def _child(stdout: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the child, and leave no process of its group behind."""
    child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
        # -P: no folder but PYTHONPATH's; a pushed file could be called json.py.
        [sys.executable, "-P", "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        # ONNX Runtime would tell its maker what runs here.
        env={"PYTHONPATH": str(_ROOT), "ORT_DISABLE_TELEMETRY": "1"},
        cwd="/",
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()


def _finish(child: "subprocess.Popen[bytes]", task: bytes) -> int:
    try:
        child.communicate(task, timeout=WALL_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise UpstreamUnavailableError(
            f"the model could not be tried within {WALL_LIMIT_S} s"
        ) from error
    return child.returncode


def _ending(code: int) -> ReleaseRefusedError | UpstreamUnavailableError:
    """Word what a child without a verdict died of."""
    if code == -signal.SIGKILL:
        return UpstreamUnavailableError("the model's trial was killed from outside")
    try:
        why = _REFUSALS[signal.Signals(-code)]
    except (KeyError, ValueError):
        why = f"the trial ended with code {code}"
    return ReleaseRefusedError(f"the model cannot be tried: {why}")


def _decode(answer: bytes) -> Verdict:
    fields = Fields(
        decode_json(answer, what="verdict", limit_bytes=VERDICT_MAX_BYTES),
        "the verdict",
    )
    if "refused" in fields:
        raise ReleaseRefusedError(fields.text("refused", max_length=VERDICT_MAX_BYTES))
    declared = fields.mapping("opsets")
    opsets = Fields(declared, "the verdict's opsets")
    verdict = Verdict(
        inputs=_specs(fields, "inputs"),
        outputs=_specs(fields, "outputs"),
        needs=RuntimeNeeds(
            ir_version=fields.integer("ir_version"),
            opsets={domain: opsets.integer(domain) for domain in declared},
            min_onnxruntime=fields.text("min_onnxruntime"),
        ),
    )
    fields.done()
    return verdict


def _specs(fields: Fields, name: str) -> tuple[TensorSpec, ...]:
    return tuple(_spec(entry) for entry in fields.sequence(name))


def _spec(entry: object) -> TensorSpec:
    fields = Fields(entry, "a tensor of the verdict")
    shape = fields.sequence("shape")
    return TensorSpec(
        name=fields.text("name"),
        datatype=fields.text("datatype"),
        shape=tuple(axis for axis in shape if isinstance(axis, int)),
    )
