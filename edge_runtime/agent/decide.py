"""Which release this gateway should run, from the signed document alone.

Pure: what the document says, what lies in the slots and what was refused here
go in; what is to be begun comes out. The gateway decides for itself.
"""

from dataclasses import dataclass
from datetime import datetime

from edge_runtime.agent.machine import Event
from edge_runtime.agent.memory import Deployment, Memory
from packhorse.assignment import BundleRef, Offer, RolloutDocument, assigned_offer
from packhorse.names import Release

NO_RING = -1
"""Admitted to nothing but the stable release."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who decides, and what lies in its slots.

    Attributes:
        ring: The ring it is enrolled in, or `NO_RING`.
        variants: Those that this gateway can run, the best first.
        enrolled_at: By the cloud's clock; None where it did not say.
        active: The release that serves, or None.
        other: The whole release in the other slot, or None.
    """

    device: str
    ring: int
    variants: tuple[str, ...]
    active: Release | None = None
    other: Release | None = None
    enrolled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What should run here instead of what does.

    Attributes:
        event: How it begins: offered, at hand, or proven.
        bundle: Where its bytes come from, also when they are at hand.
    """

    event: Event
    release: Release
    variant: str
    bundle: BundleRef
    rollout_id: str


def decide(document: RolloutDocument, gateway: Gateway, memory: Memory) -> Wish | None:
    """Return what should be brought into service, or None to stay as it is.

    A release refused here counts as not offered until its rollout's id changes;
    then the stable one is what the document leaves. A gateway that is held keeps
    what it has, unless that was withdrawn, which nobody may run.
    """
    if document.is_held and gateway.active not in document.withdrawn:
        return None
    for offer, rollout_id in _offers(document, gateway):
        variant = choose_variant(offer, gateway.variants)
        refused = memory.refusal(offer.release, rollout_id) is not None
        if offer.release == gateway.active and not refused:
            return None
        if refused or variant is None:
            continue
        return Wish(
            event=_how(offer.release, gateway, memory),
            release=offer.release,
            variant=variant,
            bundle=offer.variants[variant],
            rollout_id=rollout_id,
        )
    return None


def is_to_serve_nothing(
    document: RolloutDocument, gateway: Gateway, wish: Wish | None
) -> bool:
    """Say whether what serves must end, though nothing comes after it.

    Nobody may run what was withdrawn: neither where no stable release stands behind
    it, nor where that one was refused here, nor where the gateway is held.
    """
    return wish is None and gateway.active in document.withdrawn


def is_same(deployment: Deployment, wish: Wish | None) -> bool:
    """Say whether `wish` is what is being deployed already."""
    return wish is not None and (
        (wish.release, wish.bundle, wish.rollout_id)
        == (deployment.release, deployment.bundle, deployment.rollout_id)
    )


def choose_variant(offer: Offer, variants: tuple[str, ...]) -> str | None:
    """Return the first of `variants` that the offer has, or None."""
    return next((name for name in variants if name in offer.variants), None)


def _offers(document: RolloutDocument, gateway: Gateway) -> list[tuple[Offer, str]]:
    """Return what the document lets this gateway run, in order of preference."""
    assigned = assigned_offer(
        document,
        device=gateway.device,
        ring=gateway.ring,
        enrolled_at=gateway.enrolled_at,
    )
    found = []
    is_candidate = assigned is document.candidate and not document.is_held
    if assigned is not None and is_candidate:
        found.append((assigned, document.rollout_id))
    if document.stable is not None:
        found.append((document.stable, ""))
    return found


def _how(release: Release, gateway: Gateway, memory: Memory) -> Event:
    """Return how a release begins: it may lie here already."""
    if release != gateway.other:
        return Event.OFFERED
    return Event.PROVEN if release in memory.proven else Event.AT_HAND
