"""Which release a gateway should run, from the signed document alone."""

from dataclasses import replace

from edge_runtime.agent.decide import NO_RING, Gateway, decide
from edge_runtime.agent.machine import Event
from edge_runtime.agent.memory import Memory, Refusal
from packhorse.assignment import BundleRef, Offer, RolloutDocument, bundle_target
from tests.edge_runtime.agent.bundles import release


def offer(version, *variants):
    names = variants or ("fp32",)
    return Offer(
        release(version),
        {
            name: BundleRef(bundle_target(release(version), name), 10, "a" * 64)
            for name in names
        },
    )


GATEWAY = Gateway("gateway-1", 0, ("fp32",), active=release(1))
OPEN = RolloutDocument(
    "magika",
    1,
    stable=offer(1),
    candidate=offer(2),
    rollout_id="magika@2#1",
    shares={0: 10_000},
)
REFUSED = Memory().with_refusal(Refusal(release(2), "magika@2#1", "NaN"))


def test_a_candidate_that_admits_this_gateway_is_wanted():
    wish = decide(OPEN, GATEWAY, Memory())
    assert wish is not None
    assert (wish.release, wish.event) == (release(2), Event.OFFERED)
    assert wish.rollout_id == "magika@2#1"


def test_another_ring_stays_on_the_stable_release():
    assert decide(OPEN, replace(GATEWAY, ring=1), Memory()) is None


def test_a_new_gateway_in_another_ring_wants_the_stable_release():
    wish = decide(OPEN, replace(GATEWAY, ring=1, active=None), Memory())
    assert wish is not None
    assert (wish.release, wish.rollout_id) == (release(1), "")


def test_a_gateway_that_is_held_keeps_what_it_has():
    assert decide(replace(OPEN, is_held=True), GATEWAY, Memory()) is None


def test_a_refused_candidate_is_not_tried_again_in_the_same_rollout():
    assert decide(OPEN, GATEWAY, REFUSED) is None


def test_a_refused_candidate_is_tried_again_in_another_rollout():
    document = replace(OPEN, rollout_id="magika@2#2")
    wish = decide(document, GATEWAY, REFUSED)
    assert wish is not None
    assert wish.release == release(2)


def test_a_gateway_that_runs_a_refused_candidate_goes_back_to_stable():
    wish = decide(OPEN, replace(GATEWAY, active=release(2), other=release(1)), REFUSED)
    assert wish is not None
    assert wish.release == release(1)


def test_a_withdrawn_release_gives_way_to_the_proven_one_in_the_other_slot():
    document = RolloutDocument("magika", 2, stable=offer(1), withdrawn=(release(2),))
    gateway = replace(GATEWAY, active=release(2), other=release(1))
    wish = decide(document, gateway, Memory().with_serving(release(1)))
    assert wish is not None
    assert wish.event is Event.PROVEN


def test_a_release_in_the_other_slot_that_never_served_is_at_hand_only():
    wish = decide(OPEN, replace(GATEWAY, other=release(2)), Memory())
    assert wish is not None
    assert wish.event is Event.AT_HAND


def test_the_first_variant_that_is_offered_is_chosen():
    document = replace(OPEN, candidate=offer(2, "fp32", "int8"))
    wish = decide(document, replace(GATEWAY, variants=("int8", "fp32")), Memory())
    assert wish is not None
    assert wish.variant == "int8"


def test_a_release_without_a_variant_for_this_gateway_is_left_alone():
    document = replace(OPEN, candidate=offer(2, "int8"))
    assert decide(document, GATEWAY, Memory()) is None


def test_a_document_that_offers_nothing_leaves_everything_as_it_is():
    document = RolloutDocument("magika", 2, withdrawn=(release(1),))
    assert decide(document, GATEWAY, Memory()) is None


def test_a_held_gateway_leaves_what_was_withdrawn_for_the_stable_release():
    document = replace(OPEN, withdrawn=(release(3),), is_held=True)
    wish = decide(document, replace(GATEWAY, active=release(3)), Memory())
    assert wish is not None
    assert wish.release == release(1)


def test_a_gateway_in_no_ring_is_admitted_to_the_stable_release_only():
    document = replace(OPEN, shares=dict.fromkeys(range(100), 10_000))
    assert decide(document, replace(GATEWAY, ring=NO_RING), Memory()) is None
