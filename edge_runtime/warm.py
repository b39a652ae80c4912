"""Prove on this machine that a slot's model answers as its golden samples say."""

from collections.abc import Sequence

from edge_runtime.errors import ModelError
from edge_runtime.model_session import ModelSession
from edge_runtime.run_watch import RunWatch
from edge_runtime.slots import Slot
from packhorse.errors import PackhorseError
from packhorse.golden import GoldenSamples, compare_outputs, read_golden
from packhorse.manifest import GOLDEN_FILE, MODEL_FILE, Manifest, TensorSpec


def load_warm(slot: Slot, watch: RunWatch | None = None) -> ModelSession:
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
    _check_side("inputs", session.inputs, manifest.inputs)
    _check_side("outputs", session.outputs, manifest.outputs)
    try:
        with slot.member_path(GOLDEN_FILE).open("rb") as file:
            samples = read_golden(file)
        _run_samples(session, samples, manifest)
    except PackhorseError as error:
        raise ModelError(f"golden samples of {manifest.release}: {error}") from error
    return session


def _run_samples(
    session: ModelSession, samples: GoldenSamples, manifest: Manifest
) -> None:
    """Run every sample and compare what it gives."""
    for index in range(samples.count):
        got = session.run(samples.sample_inputs(index))
        expected = {
            name: array[index : index + 1] for name, array in samples.outputs.items()
        }
        comparison = compare_outputs(expected, got, manifest.tolerances)
        if not comparison.agrees:
            raise ModelError(
                f"golden sample {index} of {manifest.release}: {comparison.reason}"
            )


def _check_side(
    side: str, got: Sequence[TensorSpec], expected: Sequence[TensorSpec]
) -> None:
    """Compare the model's tensors with those that the manifest promises."""
    have = {spec.name: spec.datatype for spec in got}
    want = {spec.name: spec.datatype for spec in expected}
    if have != want:
        raise ModelError(f"the manifest names the {side} {want}, the model has {have}")
