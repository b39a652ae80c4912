"""A release is registered once, and moves forward only."""

import json

import pytest

from functions.errors import ConflictError, NotFoundError, ReleaseRefusedError
from functions.release.records import ReleaseState
from packhorse.names import Release


def events(ledger, topic):
    pending = ledger.pending_events(100)
    return [json.loads(event.body) for event in pending if event.topic == topic]


def test_a_new_release_asks_for_each_of_its_variants(ledger, register, release):
    assert register(variants=("fp32", "int8"))

    record = ledger.release(release)
    assert record.state is ReleaseState.REGISTERED
    assert record.variants == {"fp32": None, "int8": None}
    assert record.card == {"licence": "Apache-2.0"}
    assert events(ledger, "package") == [
        {"release": "magika@2", "variant": "fp32"},
        {"release": "magika@2", "variant": "int8"},
    ]


def test_a_release_that_comes_twice_is_registered_once(ledger, register):
    assert register()
    assert not register()

    assert len(events(ledger, "package")) == 1


def test_a_version_with_another_digest_is_refused_and_recorded(ledger, register):
    register()

    with pytest.raises(ReleaseRefusedError, match="push the model under the next"):
        register(digest="sha256:" + "b" * 64)

    refusals = ledger.snapshot_status()["refusals"]
    assert [refusal["subject"] for refusal in refusals] == ["magika@2"]


def test_the_last_variant_makes_the_release_packaged(
    ledger, register, release, bundle, now
):
    register(variants=("fp32", "int8"))

    ledger.variant_packaged(release, "int8", bundle(release, "int8"), now)
    assert ledger.release(release).state is ReleaseState.REGISTERED
    ledger.variant_packaged(release, "fp32", bundle(release), now)

    assert ledger.release(release).state is ReleaseState.PACKAGED
    assert ledger.release(release).offer().variants["fp32"] == bundle(release)
    assert events(ledger, "packaged") == [{"release": "magika@2"}]


def test_a_variant_that_is_packaged_twice_is_packaged_once(
    ledger, register, release, bundle, now
):
    register()
    for _ in range(2):
        ledger.variant_packaged(release, "fp32", bundle(release), now)

    assert len(events(ledger, "packaged")) == 1


def test_a_variant_never_gets_a_second_bundle(ledger, register, release, bundle, now):
    register()
    ledger.variant_packaged(release, "fp32", bundle(release), now)
    other = type(bundle(release))(bundle(release).target, 1000, "f" * 64)

    with pytest.raises(ConflictError):
        ledger.variant_packaged(release, "fp32", other, now)


def test_a_variant_that_nobody_asked_for_is_not_found(
    ledger, register, release, bundle, now
):
    register()

    with pytest.raises(NotFoundError, match="int8"):
        ledger.variant_packaged(release, "int8", bundle(release, "int8"), now)


def test_a_refused_release_stays_refused_with_its_first_reason(
    ledger, register, release, bundle, now
):
    register()
    ledger.refuse_release(release, reason="NaN in its golden samples", at=now)
    ledger.refuse_release(release, reason="something else", at=now)
    ledger.variant_packaged(release, "fp32", bundle(release), now)

    record = ledger.release(release)
    assert (record.state, record.reason) == ("refused", "NaN in its golden samples")
    assert events(ledger, "packaged") == []
    with pytest.raises(ReleaseRefusedError, match="NaN"):
        ledger.published(release, at=now)


def test_a_deployed_release_is_not_refused_any_more(ledger, deploy, release, now):
    deploy(release)

    with pytest.raises(ConflictError, match="withdraw"):
        ledger.refuse_release(release, reason="late", at=now)


@pytest.mark.parametrize("step", ["published", "deployed"])
def test_no_step_is_skipped(ledger, register, release, now, step):
    register()

    with pytest.raises(ConflictError):
        getattr(ledger, step)(release, at=now)


def test_an_unknown_release_is_not_found(ledger, now):
    unknown = Release("nobody", 1)

    assert ledger.release(unknown) is None
    with pytest.raises(NotFoundError, match="nobody@1"):
        ledger.published(unknown, at=now)


def test_only_the_first_execution_claims_a_release(ledger, register, release):
    register()

    assert ledger.claim(release, execution="first")
    assert not ledger.claim(release, execution="second")
    assert ledger.claim(release, execution="first")
    assert ledger.release(release).execution == "first"


def test_a_deployed_id_is_a_number_that_is_allocated_once(ledger, register, release):
    register()
    register(Release("magika", 3), digest="sha256:" + "3" * 64)

    candidate = ledger.deployed_id(release, "candidate")
    serving = ledger.deployed_id(release, "serving")
    other = ledger.deployed_id(Release("magika", 3), "candidate")

    assert candidate.isdecimal()
    assert len({candidate, serving, other}) == 3
    assert ledger.deployed_id(release, "candidate") == candidate
    assert ledger.release(release).deployed_ids == {
        "candidate": candidate,
        "serving": serving,
    }


def test_the_name_of_the_uploaded_version_is_kept(ledger, register, release):
    register()
    ledger.record_model_version(release, "projects/p/locations/l/models/magika@2")

    assert ledger.release(release).model_version.endswith("models/magika@2")


def test_history_tells_every_state_with_time_and_reason(ledger, deploy, release, now):
    deploy(release)

    history = ledger.history(release)

    assert [change.what for change in history] == [
        "registered",
        "fp32 packaged",
        "packaged",
        "published",
        "deployed",
    ]
    assert {change.at for change in history} == {now}


def test_a_refused_notice_is_recorded_once(ledger, now):
    for _ in range(2):
        ledger.refuse_notice(subject="x:latest", reason="no version", at=now)

    (refusal,) = ledger.snapshot_status()["refusals"]
    assert (refusal["subject"], refusal["reason"]) == ("x:latest", "no version")


def test_a_release_that_stands_still_is_asked_for_again(
    ledger, register, release, later, package
):
    register(variants=("fp32", "int8"))
    package(release)
    ledger.mark_sent([event.id for event in ledger.pending_events(100)])

    assert ledger.ask_again(before=later(0), at=later(60)) == []
    assert ledger.ask_again(before=later(1), at=later(60)) == [release]
    assert ledger.ask_again(before=later(1), at=later(61)) == []

    assert events(ledger, "package") == [{"release": "magika@2", "variant": "int8"}]


def test_a_packaged_release_that_stands_still_is_published_again(
    ledger, register, release, later, package
):
    register()
    package(release)
    ledger.mark_sent([event.id for event in ledger.pending_events(100)])

    ledger.ask_again(before=later(1), at=later(60))

    assert events(ledger, "packaged") == [{"release": "magika@2"}]


def test_a_published_release_without_progress_is_named(
    ledger, register, release, later, package
):
    register()
    package(release)
    ledger.published(release, at=later(0))

    assert ledger.stuck(before=later(0)) == []
    (stuck,) = ledger.stuck(before=later(1))
    assert (stuck.release, stuck.state) == (release, "published")


def test_a_deployed_release_is_stuck_until_its_rollout_begins(
    ledger, deploy, release, later
):
    deploy(release)

    (stuck,) = ledger.stuck(before=later(1))
    ledger.open_rollout(release, at=later(0))

    assert stuck.release == release
    assert ledger.stuck(before=later(1)) == []


def test_a_stuck_release_whose_workflow_was_restarted_gets_time(
    ledger, deploy, release, later
):
    deploy(release)

    ledger.workflow_restarted(release, at=later(60))

    assert ledger.stuck(before=later(60)) == []


def test_an_execution_that_failed_loses_its_claim_to_one_that_names_it(
    ledger, register, release
):
    register()
    ledger.claim(release, execution="failed")

    assert not ledger.claim(release, execution="second", instead_of="other")
    assert ledger.claim(release, execution="second", instead_of="failed")
    assert not ledger.claim(release, execution="third", instead_of="failed")


def test_a_failed_operation_is_counted_once(ledger, register, release):
    register()
    ledger.operation_begun(release, "upload", "operations/1")

    counts = [
        ledger.operation_failed(release, "upload", "operations/1") for _ in range(2)
    ]
    unknown = ledger.operation(release, "upload")
    ledger.operation_begun(release, "upload", "operations/2")

    assert (counts, unknown) == ([1, 1], "")
    assert ledger.operation(release, "upload") == "operations/2"
    assert ledger.operation_failed(release, "upload", "operations/2") == 2
    assert ledger.operation(release, "other") == ""
