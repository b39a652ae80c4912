"""The only module that knows ONNX Runtime.

Opens a model file after what it names was looked at, refuses what the protocols
cannot carry, and runs it. What ONNX Runtime raises becomes a `ModelError`; its
own text names files and addresses, and stays in `__cause__`.

Arrays go in and come out as numpy has them, with two exceptions of ONNX Runtime's
Python. It makes text of bytes by printing them, and reads past the end of numpy's
fixed-width bytes: here text is given as Python's strings only. And it takes and
gives BF16 not as arrays but as its own values, whose memory is copied.
"""

import ctypes
import math
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.capi import (  # type: ignore[import-untyped]  # it ships no types
    onnxruntime_pybind11_state as raised,
)

from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.model_files.external_data import check_external_data
from edge_runtime.model_files.model_file import ModelFile, read_model_file
from edge_runtime.run_watch import RunWatch
from edge_runtime.session_types import BF16, TEXT, describe_signature
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.signature import Arrays, Signature

_RAISED: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(raised).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
    MemoryError,
    LookupError,
    TypeError,
    ArithmeticError,
    BufferError,
    AttributeError,
    OSError,
)
"""Its own, and what pybind11 makes of every other exception that C++ can raise."""

_SEVERITY_FATAL = 4
_BF16_ONNX = 16


class ModelSession:
    """One model in memory, ready to run; safe to run from several threads.

    Attributes:
        inputs: What must be given, in the model's order.
        outputs: What it gives, likewise.
        signature: Both, and what may be given beside.
        batch_axis: Whether the first axis of every input and output is free, and
            may be the same in all of them.
        operators: Names of the operators that the model uses.
    """

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
        file = _read(path)
        session = _open(path, threads)
        self._session = session
        self._raw = session._sess  # noqa: SLF001 - its wrapper costs a microsecond
        self._watch = watch or RunWatch(math.inf)
        sides = describe_signature(session, file.unranked)
        self.signature: Signature = sides.signature
        self.inputs, self.outputs = sides.inputs, sides.outputs
        self.batch_axis: bool = sides.batch_axis
        self.operators = file.operators
        self._names = list(self.signature.outputs)
        self._texts = self._named(TEXT, self.signature)
        self._call = self._choose_call()

    def run(
        self,
        inputs: Arrays,
        outputs: Sequence[str] | None = None,
        *,
        limit_s: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            inputs: Arrays by input name, each of the declared type and shape.
            outputs: Names of the outputs to compute; None for all.
            limit_s: Time that it may take, where that is less than the watch's
                limit; ended up to a twentieth of a second late.

        Raises:
            OverrunError: It took longer than it may.
            ModelError: The model failed.
        """
        names = list(outputs) if outputs else self._names
        lane = self._watch.lane(_run_options)
        begun_s = lane.begin(limit_s)
        try:
            arrays = self._call(names, inputs, lane.options)
        except _RAISED as error:
            if lane.is_stopped(begun_s):
                raise OverrunError(
                    f"the model was stopped after {lane.limit_s:g} s"
                ) from error
            raise ModelError(_sentence(error)) from error
        finally:
            lane.end(begun_s)
        return dict(zip(names, arrays, strict=True))

    def _choose_call(self) -> Callable[..., Sequence[np.ndarray]]:
        """Return what runs this model: ONNX Runtime itself where it can."""
        halves = self._named(BF16, self.signature)
        if halves and self._texts:
            raise ModelError(
                "a model with BF16 that takes BYTES cannot be served:"
                " ONNX Runtime's Python carries one or the other"
            )
        if halves or any(s.datatype == BF16 for s in self.outputs):
            return self._run_values
        if self._texts:
            return self._run_texts
        run: Callable[..., Sequence[np.ndarray]] = self._raw.run
        return run

    @staticmethod
    def _named(datatype: str, signature: Signature) -> frozenset[str]:
        specs = signature.inputs.values()
        return frozenset(spec.name for spec in specs if spec.datatype == datatype)

    def _run_texts(
        self, names: Sequence[str], inputs: Arrays, options: object
    ) -> Sequence[np.ndarray]:
        """Run with text, given as Python's strings."""
        given = {
            name: _as_text(array) if name in self._texts else array
            for name, array in inputs.items()
        }
        arrays: Sequence[np.ndarray] = self._raw.run(names, given, options)
        return arrays

    def _run_values(
        self, names: Sequence[str], inputs: Arrays, options: object
    ) -> Sequence[np.ndarray]:
        """Run with ONNX Runtime's own values, which can hold BF16."""
        # They view the arrays' memory, which must outlive the run.
        arrays = {name: np.asarray(array, order="C") for name, array in inputs.items()}
        values = {name: _to_value(array) for name, array in arrays.items()}
        given = self._session.run_with_ort_values(names, values, options)
        return [_from_value(value) for value in given]


def version() -> str:
    """Return the version of ONNX Runtime."""
    return str(onnxruntime.__version__)


def _read(path: Path) -> ModelFile:
    """Look into the model's file before ONNX Runtime does."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelError(f"{path.name} must be a regular file")
        file = read_model_file(path)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read") from error
    check_external_data(path, file.locations)
    return file


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load the model on the processor, without threads that spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except _RAISED as error:
        raise ModelError(
            f"ONNX Runtime {version()} cannot load {path.name}: {type(error).__name__}"
        ) from error
    session.disable_fallback()  # which prints
    return session


def _run_options() -> onnxruntime.RunOptions:
    """Return what a run needs: silence, and a way to stop it."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = _SEVERITY_FATAL
    return options


def _sentence(error: Exception) -> str:
    """Say in our words why a run failed."""
    if isinstance(error, UnicodeDecodeError):
        return "the model gave text that is not UTF-8"
    return "the model failed while it ran"


def _as_text(array: np.ndarray) -> np.ndarray:
    """Return an array of text with each element as one of Python's strings."""
    if array.dtype.kind == "O" and not _has_bytes(array):
        return array
    flat = array.ravel().tolist()
    texts = np.empty(len(flat), np.object_)
    try:
        texts[:] = [x.decode() if isinstance(x, bytes) else x for x in flat]
    except UnicodeDecodeError as error:
        raise ModelError("an input's text must be UTF-8") from error
    return texts.reshape(array.shape)


def _has_bytes(array: np.ndarray) -> bool:
    return not {str}.issuperset(map(type, array.ravel().tolist()))


def _to_value(array: np.ndarray) -> onnxruntime.OrtValue:
    """Return ONNX Runtime's value over an array's memory."""
    make = onnxruntime.OrtValue
    if array.dtype.name == "bfloat16":
        return make.ortvalue_from_numpy_with_onnx_type(array, _BF16_ONNX)
    return make.ortvalue_from_numpy(array)


def _from_value(value: onnxruntime.OrtValue) -> np.ndarray:
    """Return a value as an array; BF16, for which it has none, is copied."""
    if value.element_type() != _BF16_ONNX:
        array: np.ndarray = value.numpy()
        return array
    shape = tuple(value.shape())
    halves = np.empty(shape, numpy_type(BF16))
    ctypes.memmove(halves.ctypes.data, value.data_ptr(), halves.nbytes)
    return halves
