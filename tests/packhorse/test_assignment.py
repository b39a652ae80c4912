"""Who runs what: shares are right, stable, and only ever admit more."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packhorse.assignment import (
    BundleRef,
    Offer,
    RolloutDocument,
    assigned_offer,
    bundle_target,
    decode_rollout,
    device_position,
    encode_rollout,
    rollout_target,
)
from packhorse.errors import MalformedError
from packhorse.names import Release


def offer(version):
    release = Release("magika", version)
    bundle = BundleRef(bundle_target(release, "fp32"), 100, "a" * 64)
    return Offer(release, {"fp32": bundle})


def document(**changes):
    fields = {
        "model": "magika",
        "sequence": 3,
        "stable": offer(1),
        "candidate": offer(2),
        "rollout_id": "magika@2#1",
        "shares": {0: 10_000, 1: 2_500},
        "withdrawn": (Release("magika", 9),),
    }
    return RolloutDocument(**fields | changes)


def changed(**fields):
    return json.dumps(json.loads(encode_rollout(document())) | fields).encode()


def test_a_document_reads_back_the_same():
    assert decode_rollout(encode_rollout(document())) == document()


def test_a_model_without_any_release_has_a_document_too():
    empty = RolloutDocument("magika", 0)
    assert decode_rollout(encode_rollout(empty)) == empty
    assert assigned_offer(empty, device="gw", ring=0) is None


def test_targets_are_found_by_name():
    assert bundle_target(Release("magika", 2), "fp32") == "bundles/magika/2/fp32.tar"
    assert rollout_target("magika") == "rollouts/magika.json"


def test_a_ring_that_is_open_gets_the_candidate_and_another_the_stable_one():
    assert assigned_offer(document(), device="gw", ring=0) == offer(2)
    assert assigned_offer(document(), device="gw", ring=7) == offer(1)


@settings(max_examples=5, deadline=None)
@given(st.from_regex(r"[a-z]{1,8}@[1-9][0-9]{0,3}#[1-9]", fullmatch=True))
def test_shares_are_right_for_100_000_devices_and_only_ever_admit_more(rollout_id):
    devices = [f"gw-{number}" for number in range(100_000)]
    position = [device_position(rollout_id, device) for device in devices]
    admitted: set[str] = set()
    for share in (0, 1, 100, 500, 2_500, 5_000, 9_000, 10_000):
        among = {d for d, p in zip(devices, position, strict=True) if p < share}
        ratio = share / 10_000
        # Six sigmas of a fair draw: once in 500 million runs a fair hash fails.
        room = 6 * (len(devices) * ratio * (1 - ratio)) ** 0.5
        assert abs(len(among) - ratio * len(devices)) <= room
        assert admitted <= among
        admitted = among
    assert len(admitted) == len(devices)


@given(st.text("abc0-", min_size=1), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_wider_share_keeps_everyone_who_was_in(device, one, other):
    narrow, wide = sorted((one, other))
    before = assigned_offer(document(shares={0: narrow}), device=device, ring=0)
    after = assigned_offer(document(shares={0: wide}), device=device, ring=0)
    assert before == offer(1) or after == offer(2)


def test_each_rollout_has_its_own_first_devices():
    first = [device_position("magika@2#1", f"gw-{i}") < 500 for i in range(2000)]
    second = [device_position("magika@3#1", f"gw-{i}") < 500 for i in range(2000)]
    assert first != second


@pytest.mark.parametrize(
    "changes",
    [
        {"stable": None, "candidate": None},
        {"rollout_id": ""},
        {"shares": {0: 10_001}},
        {"withdrawn": (Release("magika", 2),)},
        {"model": "other"},
    ],
    ids=["id alone", "no id", "share", "withdrawn", "model"],
)
def test_a_document_that_contradicts_itself_cannot_exist(changes):
    with pytest.raises(MalformedError):
        document(**changes)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"surprise": 1}, "surprise"),
        ({"shares": {"00": 1}}, "ring"),
        ({"shares": {"0": 10_001}}, "10000"),
        ({"withdrawn": [1]}, "magika@7"),
        ({"kind": "runtime"}, "kind"),
        ({"stable": {"release": "magika@1", "variants": {"X": {}}}}, "target"),
    ],
)
def test_a_document_that_says_something_wrong_is_refused(fields, word):
    with pytest.raises(MalformedError, match=word):
        decode_rollout(changed(**fields))


def test_an_offer_names_only_its_own_bundles():
    with pytest.raises(MalformedError, match="names the bundle"):
        Offer(Release("magika", 3), offer(2).variants)


def test_a_variant_in_the_document_has_a_proper_name():
    bundle = {"target": "x", "length_bytes": 1, "sha256": "a" * 64}
    with pytest.raises(MalformedError, match="proper name"):
        decode_rollout(
            changed(stable={"release": "magika@1", "variants": {"../x": bundle}})
        )


@pytest.mark.parametrize(("length_bytes", "sha256"), [(0, "a" * 64), (1, "x")])
def test_a_bundle_has_a_length_and_a_hash(length_bytes, sha256):
    with pytest.raises(MalformedError):
        BundleRef("bundles/magika/1/fp32.tar", length_bytes, sha256)


def test_a_device_that_enrols_while_the_first_ring_is_open_is_not_admitted():
    opened_at = datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC)
    opened = decode_rollout(encode_rollout(document(enrolled_before=opened_at)))

    def assigned(enrolled_at):
        return assigned_offer(opened, device="gw", ring=0, enrolled_at=enrolled_at)

    assert assigned(opened_at - timedelta(microseconds=1)) == opened.candidate
    assert assigned(opened_at) == opened.stable
    assert assigned(None) == opened.candidate


@pytest.mark.parametrize("at", ["soon", "", 5, "9999-12-31T23:59:59-23:59"])
def test_an_instant_that_is_none_is_refused(at):
    with pytest.raises(MalformedError, match="an instant must be"):
        decode_rollout(changed(enrolled_before=at))
