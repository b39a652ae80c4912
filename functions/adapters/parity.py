"""Ask an endpoint the golden samples that a bundle carries.

The bundle's bytes are hashed on the way, so that the samples are the very ones
that the release role vouches for, and the comparison is the packager's own.
"""

import hashlib
import io
import platform
from typing import BinaryIO

import numpy as np
import orjson

from functions.adapters.calls import refusal
from functions.adapters.raw_predict import Answer, RawPredict
from functions.errors import UpstreamRefusedError
from packhorse.assignment import BundleRef
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from packhorse.comparison import Comparison, compare_outputs
from packhorse.errors import MalformedError, UntrustedError
from packhorse.golden import (
    GOLDEN_MAX_BYTES,
    GoldenSamples,
    check_golden,
    read_golden,
)
from packhorse.inference.datatypes import datatype_of, json_values, numpy_type
from packhorse.manifest import Manifest, TensorSpec
from packhorse.tolerance import tolerances_on

GOLDEN_FILE = "golden.npz"
SAMPLES_MAX = 64
"""Asked one by one; more would prove little and outlast the step."""
TIMEOUT_S = 30.0
"""For one sample: half of what a shared endpoint allows."""
_OK = 200
_BAD_REQUEST = 400
JSON = "application/json"


class HashingReader(io.RawIOBase):
    """A stream that knows the SHA-256 of what was read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read from `stream`, from its current position."""
        super().__init__()
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes."""
        piece = self._stream.read(size)
        self._hash.update(piece)
        return piece

    def hexdigest(self) -> str:
        """Return the hash of everything read so far."""
        return self._hash.hexdigest()


def read_samples(stream: BinaryIO, bundle: BundleRef) -> tuple[Manifest, GoldenSamples]:
    """Read the golden samples out of a published bundle.

    Raises:
        UntrustedError: It is not the bundle that was published.
        MalformedError: It is no bundle, or carries no samples.
    """
    hashing = HashingReader(stream)
    limit_bytes = min(bundle.length_bytes, BUNDLE_MAX_BYTES)
    reader = read_bundle(hashing, limit_bytes=limit_bytes)  # type: ignore[arg-type]  # RawIOBase is a BinaryIO in all that is used
    golden: bytes | None = None
    for member, chunks in reader.members():
        if member.name == GOLDEN_FILE and member.length_bytes <= GOLDEN_MAX_BYTES:
            golden = b"".join(chunks)
        else:
            for _ in chunks:
                pass
    if hashing.hexdigest() != bundle.sha256:
        raise UntrustedError(f"{bundle.target} is not the bundle that was published")
    if golden is None:
        raise MalformedError(f"{bundle.target} carries no golden samples")
    samples = read_golden(io.BytesIO(golden))
    manifest = reader.manifest
    return manifest, check_golden(samples, manifest.inputs, manifest.outputs)


def measure_parity(
    predictions: RawPredict, endpoint: str, manifest: Manifest, samples: GoldenSamples
) -> Comparison:
    """Compare what the endpoint answers with what the samples say.

    Raises:
        UpstreamUnavailableError: It gave no usable answer in time.
        UpstreamRefusedError: It answered with another error than the model's.
    """
    count = min(samples.count, SAMPLES_MAX)
    answers = []
    for index in range(count):
        outputs = _ask(predictions, endpoint, manifest, samples.sample_inputs(index))
        if outputs is None:
            reason = f"sample {index} is refused by the model itself"
            return Comparison({}, reason)
        answers.append(outputs)
    golden = {name: array[:count] for name, array in samples.outputs.items()}
    try:
        got = {name: np.concatenate([a[name] for a in answers]) for name in golden}
    except ValueError:
        return Comparison({}, "the samples' outputs have shapes that do not fit")
    # Functions and Vertex AI's machines are of one architecture.
    tolerances = tolerances_on(platform.machine(), manifest.tolerances)
    return compare_outputs(golden, got, tolerances)


def _ask(
    predictions: RawPredict,
    endpoint: str,
    manifest: Manifest,
    inputs: dict[str, np.ndarray],
) -> dict[str, np.ndarray] | None:
    """Return what the endpoint answers for one sample; None where it refuses it."""
    answer = predictions.call(
        endpoint, encode_inputs(inputs), content_type=JSON, timeout_s=TIMEOUT_S
    )
    if answer.status == _BAD_REQUEST:
        return None
    if answer.status != _OK:
        raise refusal("the candidate endpoint", answer.status)
    return _decode_outputs(answer, manifest.outputs)


def encode_inputs(inputs: dict[str, np.ndarray]) -> bytes:
    """Write one sample as an Open Inference Protocol request."""
    tensors = [
        {
            "name": name,
            "datatype": datatype_of(array.dtype),
            "shape": list(array.shape),
            "data": json_values(array.reshape(-1)),
        }
        for name, array in inputs.items()
    ]
    return orjson.dumps({"inputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)


def _decode_outputs(
    answer: Answer, outputs: tuple[TensorSpec, ...]
) -> dict[str, np.ndarray]:
    try:
        tensors = orjson.loads(answer.body)["outputs"]
        came = {tensor["name"]: tensor for tensor in tensors}
        return {spec.name: _array(spec, came[spec.name]) for spec in outputs}
    except (ValueError, KeyError, TypeError) as error:
        raise UpstreamRefusedError("the endpoint's answer lacks the outputs") from error


def _array(spec: TensorSpec, tensor: dict[str, object]) -> np.ndarray:
    # NaN has no JSON and comes as null, which numpy's own floats take for NaN.
    dtype = numpy_type(spec.datatype)
    read_as = np.dtype(np.float32) if spec.datatype == "BF16" else dtype
    array = np.array(tensor["data"], dtype=read_as).astype(dtype, copy=False)
    shape = tensor["shape"]
    if not isinstance(shape, list):
        raise TypeError("a shape is a list")
    return array.reshape(shape)
