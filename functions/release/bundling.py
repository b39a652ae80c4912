"""Say what goes into a bundle, and what its manifest says of it."""

from dataclasses import dataclass

from packhorse.manifest import Manifest, Member, RuntimeNeeds, TensorSpec
from packhorse.model_card import ModelCard
from packhorse.pushed_model import PushedModel
from packhorse.tolerance import DEFAULT_TOLERANCE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model that passed every check is."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: RuntimeNeeds


def make_manifest(
    pushed: PushedModel, variant: str, verdict: Verdict, card: ModelCard
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
            spec.name: card.tolerances.get(spec.name, DEFAULT_TOLERANCE)
            for spec in verdict.outputs
        },
        shadow=card.shadow,
    )
