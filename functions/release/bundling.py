"""Say what goes into a bundle, and what its manifest says of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from packhorse.golden import DEFAULT_TOLERANCE
from packhorse.manifest import Manifest, Member, RuntimeNeeds, TensorSpec, Tolerance
from packhorse.pushed_model import PushedModel


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model that passed every check is."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: RuntimeNeeds


def make_manifest(
    pushed: PushedModel,
    variant: str,
    verdict: Verdict,
    tolerances: Mapping[str, Tolerance],
) -> Manifest:
    """Describe the bundle of a pushed model whose files go in as they are.

    Every output gets its tolerance written down, so that a gateway of another
    version compares as this one did.
    """
    members = tuple(
        Member(layer.name, layer.length_bytes, layer.digest.removeprefix("sha256:"))
        for layer in pushed.files
    )
    return Manifest(
        release=pushed.release,
        variant=variant,
        source_digest=pushed.digest,
        members=members,
        inputs=verdict.inputs,
        outputs=verdict.outputs,
        needs=verdict.needs,
        tolerances={
            spec.name: tolerances.get(spec.name, DEFAULT_TOLERANCE)
            for spec in verdict.outputs
        },
    )
