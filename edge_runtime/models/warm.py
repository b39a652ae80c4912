"""Load a model, and prove on this machine that it answers as its samples say.

A model without golden samples is warmed by one run on zeros, every free axis of
length 1, and is not proven. Either way it has answered once before anybody asks.
"""

import math
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import ModelError
from edge_runtime.model_session import ModelSession
from edge_runtime.models.repository import StoredModel
from edge_runtime.models.run_plan import TRIAL_ROWS, measure_plan
from edge_runtime.models.served_model import ServedModel
from edge_runtime.run_watch import RunWatch
from edge_runtime.slots import Slot, check_members
from packhorse.comparison import compare_outputs
from packhorse.errors import PackhorseError
from packhorse.golden import GoldenSamples, as_declared, read_golden
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.signature import Arrays
from packhorse.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MANIFEST_MAX_BYTES,
    MODEL_FILE,
    Manifest,
    TensorSpec,
    decode_manifest,
)
from packhorse.tolerance import Tolerance, tolerances_on

ZEROS_MAX = 64 * 1024**2
"""Elements of an input made up here: no request within the limits holds more."""


@dataclass(frozen=True, slots=True)
class _Warm:
    """What is known of a model after its first runs.

    Attributes:
        samples: Inputs that it answered, at most `TRIAL_ROWS`.
        run_s: The least processor time that one of them took.
        is_proven: Whether the answers were compared with golden ones.
    """

    samples: Sequence[Arrays]
    run_s: float
    is_proven: bool


def load_slot(slot: Slot, watch: RunWatch | None = None) -> ServedModel:
    """Load the model of an installed slot and run its golden samples.

    Args:
        slot: Holds a whole release.
        watch: Ends the session's runs that take too long.

    Raises:
        SlotError: The slot is empty, or its files changed.
        ModelError: The model cannot be loaded, is not the one that the manifest
            describes, or answers its golden samples otherwise.
    """
    manifest = slot.verify()
    session = ModelSession(slot.member_path(MODEL_FILE), watch=watch)
    warm = _warm(session, slot, manifest)
    release = manifest.release
    return _served(
        session, warm, (release.model, str(release.version)), f"slot {slot.name}"
    )


def load_stored(stored: StoredModel, watch: RunWatch | None = None) -> ServedModel:
    """Load a model from the models directory, and run its samples where it has any.

    Raises:
        SlotError: Its files are not those of the manifest beside them.
        ModelError: It cannot be loaded, or answers otherwise than it should.
    """
    place = Slot(name="@".join(stored.key), path=stored.path)
    manifest = _read_manifest(place)
    session = ModelSession(place.member_path(MODEL_FILE), watch=watch)
    warm = _warm(session, place, manifest)
    return _served(session, warm, stored.key, str(stored.path))


def zero_inputs(session: ModelSession) -> Arrays:
    """Return zeros and empty texts for what must be given, free axes of length 1.

    Raises:
        ModelError: They would be larger than any request.
    """
    return {spec.name: _zeros(spec) for spec in session.inputs}


def _served(
    session: ModelSession, warm: _Warm, key: tuple[str, str], source: str
) -> ServedModel:
    """Find out how a warm model is best run, and make it one that is served."""
    plan = measure_plan(session, warm.samples, known_s=warm.run_s)
    name, version = key
    return ServedModel(
        name=name,
        version=version,
        session=session,
        plan=plan,
        source=source,
        sample=warm.samples[0],
        is_proven=warm.is_proven,
    )


def _warm(session: ModelSession, place: Slot, manifest: Manifest | None) -> _Warm:
    """Run a model for the first time, on its golden samples where it has any."""
    if manifest is not None:
        _check_side("inputs", session.inputs, manifest.inputs)
        _check_side("outputs", session.outputs, manifest.outputs)
    path = place.member_path(GOLDEN_FILE)
    if manifest is None and not path.is_file():
        return _warm_on_zeros(session)
    name = str(manifest.release) if manifest else place.name
    try:
        with path.open("rb") as file:
            samples = _declared(session, read_golden(file))
    except (PackhorseError, OSError) as error:
        why = "they cannot be read" if isinstance(error, OSError) else error
        raise ModelError(f"golden samples of {name}: {why}") from error
    tolerances = manifest.tolerances if manifest else {}
    here = tolerances_on(platform.machine(), tolerances)
    return _prove(session, samples, here, name)


def _warm_on_zeros(session: ModelSession) -> _Warm:
    """Run a model once on zeros."""
    zeros = zero_inputs(session)
    begun_s = time.thread_time()
    try:
        session.run(zeros)
    except ModelError as error:
        raise ModelError(
            f"it cannot be warmed with zeros, and has no {GOLDEN_FILE} beside it:"
            f" {error}"
        ) from error
    return _Warm([zeros], time.thread_time() - begun_s, is_proven=False)


def _prove(
    session: ModelSession,
    samples: GoldenSamples,
    tolerances: Mapping[str, Tolerance],
    name: str,
) -> _Warm:
    """Run every golden sample and compare what it gives."""
    known = session.signature
    _check_names(f"inputs of {name}", samples.inputs, session.inputs, known.inputs)
    _check_names(f"outputs of {name}", samples.outputs, (), known.outputs)
    least_s = math.inf
    for index in range(samples.count):
        begun_s = time.thread_time()
        try:
            got = session.run(samples.sample_inputs(index))
        except ModelError as error:
            raise ModelError(f"golden sample {index} of {name}: {error}") from error
        least_s = min(least_s, time.thread_time() - begun_s)
        expected = {
            name: array[index : index + 1] for name, array in samples.outputs.items()
        }
        comparison = compare_outputs(expected, got, tolerances)
        if not comparison.agrees:
            raise ModelError(f"golden sample {index} of {name}: {comparison.reason}")
    count = min(samples.count, TRIAL_ROWS)
    rows = [samples.sample_inputs(index) for index in range(count)]
    return _Warm(rows, least_s, is_proven=True)


def _declared(session: ModelSession, samples: GoldenSamples) -> GoldenSamples:
    """Return golden samples in the types that the model has for them."""
    inputs, outputs = session.signature.inputs, session.signature.outputs
    return GoldenSamples(
        {name: as_declared(a, inputs.get(name)) for name, a in samples.inputs.items()},
        {
            name: as_declared(a, outputs.get(name))
            for name, a in samples.outputs.items()
        },
    )


def _check_names(
    side: str,
    got: Iterable[str],
    needed: Sequence[TensorSpec],
    known: Iterable[str],
) -> None:
    """Refuse samples of another model."""
    names = set(got)
    if not {spec.name for spec in needed} <= names <= set(known):
        raise ModelError(
            f"expected golden {side} for {sorted(known)}, came {sorted(names)}"
        )


def _zeros(spec: TensorSpec) -> np.ndarray:
    """Return the least that one input takes."""
    shape = tuple(1 if axis < 0 else axis for axis in spec.shape)
    if math.prod(shape) > ZEROS_MAX:
        raise ModelError(
            f"input {spec.name!r} has {math.prod(shape)} elements, at most"
            f" {ZEROS_MAX} can be sent"
        )
    if spec.datatype == "BYTES":
        return np.full(shape, "", np.object_)
    return np.zeros(shape, numpy_type(spec.datatype))


def _read_manifest(place: Slot) -> Manifest | None:
    """Return the manifest beside a model, its members checked; None without one."""
    path = place.path / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            manifest = decode_manifest(file.read(MANIFEST_MAX_BYTES + 1))
    except FileNotFoundError:
        return None
    except (PackhorseError, OSError) as error:
        raise ModelError(f"the manifest of {place.name} cannot be read") from error
    if str(manifest.release) != place.name:
        raise ModelError(
            f"expected the manifest of {place.name}, came that of {manifest.release}"
        )
    check_members(place, manifest)
    return manifest


def _check_side(
    side: str, got: Sequence[TensorSpec], expected: Sequence[TensorSpec]
) -> None:
    """Compare the model's tensors with those that the manifest promises."""
    have = {spec.name: spec.datatype for spec in got}
    want = {spec.name: spec.datatype for spec in expected}
    if have != want:
        raise ModelError(f"the manifest names the {side} {want}, the model has {have}")
