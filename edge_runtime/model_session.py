"""The only module that knows ONNX Runtime.

Opens a model file after its external data was looked at, refuses what the
protocols cannot carry, and runs it. What ONNX Runtime raises becomes a
`ModelError`; its own text names files and addresses, and stays in `__cause__`.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.capi import (  # type: ignore[import-untyped]  # it ships no types
    onnxruntime_pybind11_state as raised,
)

from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.external_data import external_locations
from edge_runtime.run_watch import RunWatch
from packhorse.manifest import MEMBER_NAME, TensorSpec

Arrays = Mapping[str, np.ndarray]

_DATATYPES = MappingProxyType(
    {
        "tensor(bool)": "BOOL",
        "tensor(uint8)": "UINT8",
        "tensor(uint16)": "UINT16",
        "tensor(uint32)": "UINT32",
        "tensor(uint64)": "UINT64",
        "tensor(int8)": "INT8",
        "tensor(int16)": "INT16",
        "tensor(int32)": "INT32",
        "tensor(int64)": "INT64",
        "tensor(float16)": "FP16",
        "tensor(float)": "FP32",
        "tensor(double)": "FP64",
        "tensor(string)": "BYTES",
    }
)

_RAISED: tuple[type[Exception], ...] = (
    raised.EPFail,
    raised.EngineError,
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.ModelLoaded,
    raised.NoModel,
    raised.NoSuchFile,
    raised.NotImplemented,
    raised.RuntimeException,
    RuntimeError,
    ValueError,
    MemoryError,
)
"""The last three come from its Python layer and from the binding itself."""

_SEVERITY_FATAL = 4


class ModelSession:
    """One model in memory, ready to run; safe to run from several threads."""

    def __init__(
        self, path: Path, *, threads: int = 1, watch: RunWatch | None = None
    ) -> None:
        """Load the model at `path`.

        Args:
            path: The model; its external data must lie beside it.
            threads: Threads that one run may use.
            watch: Ends runs that take too long; without it nobody does.

        Raises:
            ModelError: It names files elsewhere, cannot be loaded, or takes or
                gives what is no tensor.
        """
        check_external_data(path)
        self._session = _open(path, threads)
        self._watch = watch
        self.inputs = tuple(_spec("input", x) for x in self._session.get_inputs())
        self.outputs = tuple(_spec("output", x) for x in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def run(
        self, inputs: Arrays, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            inputs: Arrays by input name, each of the declared type and shape.
            outputs: Names of the outputs to compute; None for all.

        Raises:
            OverrunError: It took longer than the watch allows.
            ModelError: The model failed.
        """
        names = self._names if outputs is None else list(outputs)
        options = onnxruntime.RunOptions()
        run = self._watch.begin(options) if self._watch else None
        try:
            arrays = self._session.run(names, inputs, options)
        except _RAISED as error:
            if run is not None and run.is_stopped:
                raise OverrunError(
                    f"the model was stopped after {run.limit_s:g} s"
                ) from error
            raise ModelError("the model failed while it ran") from error
        finally:
            if run is not None and self._watch is not None:
                self._watch.end(run)
        return dict(zip(names, arrays, strict=True))


def check_external_data(path: Path) -> None:
    """Refuse a model that would open files other than its bundle's members.

    Raises:
        ModelError: A location is no plain name, or no regular file beside `path`.
    """
    try:
        locations = sorted(external_locations(path))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read") from error
    for location in locations:
        if re.fullmatch(MEMBER_NAME, location) is None:
            raise ModelError(
                "external data must be a plain member name of the bundle,"
                f" the model names {location[:80]!r}"
            )
        if not _is_regular(path.with_name(location)):
            raise ModelError(
                f"the model keeps weights in {location!r}, which the bundle lacks"
            )


def version() -> str:
    """Return the version of ONNX Runtime."""
    return str(onnxruntime.__version__)


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load the model on the processor, without threads that spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except _RAISED as error:
        raise ModelError(
            f"ONNX Runtime {version()} cannot load {path.name}: {type(error).__name__}"
        ) from error


def _spec(side: str, node: onnxruntime.NodeArg) -> TensorSpec:
    """Describe one input or output; names of axes become -1."""
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise ModelError(
            f"{side} {node.name!r} is {node.type};"
            f" served are {', '.join(sorted(_DATATYPES))}"
        )
    return TensorSpec(node.name, datatype, tuple(_axis(a) for a in node.shape or ()))


def _axis(axis: object) -> int:
    """Return an axis' length, -1 where the model leaves it open."""
    return axis if isinstance(axis, int) and axis >= 0 else -1


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
