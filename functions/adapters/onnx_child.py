"""Try a pushed model, in a process of its own under limits.

Run as `python -m functions.adapters.onnx_child` by `onnx_checker.py`, with one
JSON line on standard input. The limits are set before anything that reads the
model is imported. Standard output gets one JSON object: what the model is, or
why it is refused. A crash, a kill or silence is a refusal too, which the parent
words.
"""

import json
import os
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from packhorse.errors import MalformedError
from packhorse.manifest import (
    GOLDEN_FILE,
    MODEL_FILE,
    TensorSpec,
)
from packhorse.strict_json import encode_json
from packhorse.tolerance import Tolerance, decode_tolerances, tolerances_on

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # untyped

    from functions.adapters.onnx_rules import ModelFacts
    from packhorse.golden import GoldenSamples

VERDICT_MAX_BYTES = 262_144
_OPEN_FILES = 64
_GRACE_S = 5
_REASON_MAX = 300


def main() -> None:
    """Read the task, set the limits, try the model, write the verdict."""
    task = json.loads(sys.stdin.buffer.read())
    _limit(task["memory_bytes"], task["cpu_s"])
    # Libraries may write to standard output; the verdict must stand there alone.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        out.write(encode_json(_verdict(Path(task["folder"]), task["tolerances"])))


def _limit(memory_bytes: int, cpu_s: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, VERDICT_MAX_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    # Past the first limit comes SIGXCPU, which says why; past the second, SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + _GRACE_S))


def _verdict(folder: Path, tolerances: dict[str, object]) -> dict[str, object]:
    try:
        facts = _try(folder, decode_tolerances(tolerances))
    except MalformedError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": "the model needs more memory than it is allowed"}
    return {
        "inputs": [_encode(spec) for spec in facts.inputs],
        "outputs": [_encode(spec) for spec in facts.outputs],
        "ir_version": facts.needs.ir_version,
        "opsets": dict(facts.needs.opsets),
        "min_onnxruntime": facts.needs.min_onnxruntime,
    }


def _encode(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _try(folder: Path, tolerances: dict[str, Tolerance]) -> "ModelFacts":
    import onnxruntime  # noqa: PLC0415 - only after the limits are set

    from functions.adapters.onnx_rules import read_model  # noqa: PLC0415 - as above
    from packhorse.comparison import check_tolerances  # noqa: PLC0415 - as above
    from packhorse.golden import check_golden, read_golden  # noqa: PLC0415 - as above

    lengths = {path.name: path.stat().st_size for path in folder.iterdir()}
    body = (folder / MODEL_FILE).read_bytes()
    facts = read_model(body, lengths, runtime=onnxruntime.__version__)
    del body
    check_tolerances(tolerances, facts.outputs)
    with (folder / GOLDEN_FILE).open("rb") as stream:
        samples = read_golden(stream)
    samples = check_golden(samples, facts.inputs, facts.outputs)
    session = _open(folder / MODEL_FILE)
    here = tolerances_on(platform.machine(), tolerances)
    for index in range(samples.count):
        _run(session, samples, index, here)
    return facts


def _open(path: Path) -> "InferenceSession":
    import onnx  # noqa: PLC0415 - only after the limits are set
    import onnxruntime  # noqa: PLC0415 - as above

    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise MalformedError(f"the ONNX checker refuses it: {_line(error)}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except _raised() as error:
        raise MalformedError(f"ONNX Runtime cannot load it: {_line(error)}") from error


def _run(
    session: "InferenceSession",
    samples: "GoldenSamples",
    index: int,
    tolerances: dict[str, Tolerance],
) -> None:
    from functions.adapters.onnx_run import run_model  # noqa: PLC0415 - after the limits
    from packhorse.comparison import compare_outputs  # noqa: PLC0415 - as above

    try:
        got = run_model(session, list(samples.outputs), samples.sample_inputs(index))
    except _raised() as error:
        raise MalformedError(
            f"ONNX Runtime fails on golden sample {index}: {_line(error)}"
        ) from error
    golden = {name: a[index : index + 1] for name, a in samples.outputs.items()}
    comparison = compare_outputs(golden, got, tolerances)
    if not comparison.agrees:
        raise MalformedError(f"golden sample {index}: {comparison.reason}")


def _raised() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its classes have no base of their own."""
    from onnxruntime.capi import (  # type: ignore[import-untyped]  # noqa: PLC0415
        onnxruntime_pybind11_state as state,
    )

    own = [kind for kind in vars(state).values() if isinstance(kind, type)]
    return (
        *(kind for kind in own if issubclass(kind, Exception)),
        RuntimeError,
        ValueError,
    )


def _line(error: Exception) -> str:
    """Return the error's first line, printable and short."""
    text = " ".join(str(error).split())[:_REASON_MAX]
    return "".join(c for c in text if c.isprintable()) or type(error).__name__


if __name__ == "__main__":
    main()
