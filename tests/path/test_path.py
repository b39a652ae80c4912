"""Releases go down the whole path, good ones and bad ones.

The tests build on one another's releases, so each takes the next version and
says what it expects to stand before.
"""

import hashlib
import re

import pytest
import requests

from local_cloud.demo.bad_models import always_nan
from local_cloud.stack.settings import load_functions
from tests.models import nan_when_negative, tiny_golden, tiny_model
from tests.path.fleet import MODEL, wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def upgraded(fleet):
    """Release 1 everywhere, then release 2 while a client keeps asking."""
    assert fleet.release(1) == "rollout finished"
    fleet.all_answer(1)
    with fleet.traffic() as answers:
        assert fleet.release(2) == "rollout finished"
        fleet.all_answer(2)
        # The client's own connection may have one answer of the old worker to come.
        for place, counts in answers.items():
            wait_until(
                lambda c=counts: c[f"{MODEL}@2"], f"the client sees it at {place}"
            )
    fleet.answers = answers
    return fleet


@pytest.mark.parametrize("name", load_functions())
def test_every_function_runs_as_it_is_deployed_and_answers_strangers(fleet, name):
    """The real framework, the root's `main.py`, only the settings that are listed."""
    message = {"data": "e30=", "messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}
    event = {"message": message, "subscription": "projects/p/subscriptions/s"}

    reply = requests.post(fleet.stack.plan.url(name), json=event, timeout=30)

    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]


def test_an_upgrade_fails_no_request_and_gives_no_wrong_answer(upgraded):
    for place, counts in upgraded.answers.items():
        assert set(counts) == {f"{MODEL}@1", f"{MODEL}@2"}, place


def test_ring_1_gets_a_release_only_after_ring_0_serves_it(upgraded):
    changes = upgraded.history(2)
    served = next(i for i, what in enumerate(changes) if what == "serving on gw-0")
    wider = next(i for i, what in enumerate(changes) if "ring 1" in what)
    assert served < wider


def test_a_model_that_is_nan_on_its_golden_samples_is_never_published(upgraded):
    bad = always_nan(tiny_model(3), output="y")
    assert (
        upgraded.release(3, model=bad, golden=tiny_golden(tiny_model(3))) == "refused"
    )
    document = upgraded.operate(f"releases/{MODEL}@3")
    assert "NaN" in document["reason"]
    assert not upgraded.objects(f"targets/bundles/{MODEL}/3/")
    assert upgraded.stable() == f"{MODEL}@2"


def test_a_model_that_is_nan_on_live_requests_stops_at_ring_0(upgraded):
    bad = nan_when_negative(tiny_model(4))
    with upgraded.traffic() as answers:
        wait_until(lambda: answers["gw-0"].total() > 64, "gw-0 has live requests")
        ended = upgraded.release(4, model=bad, golden=positive_golden(4))
        upgraded.all_answer(2)
    assert ended == "rollout withdrawn"
    for place, counts in answers.items():
        assert set(counts) == {f"{MODEL}@2"}, place
    assert f"{MODEL}@4" not in {release for _, release in upgraded.agent_events("gw-1")}
    assert "live requests" in upgraded.record()["reason"]
    assert f"{MODEL}@4" in upgraded.record()["withdrawn"]


def positive_golden(version):
    """Samples on which the bad model of that version is right."""
    model = tiny_model(version)
    samples = tiny_golden(model, count=64)
    keep = samples.inputs["x"][:, 0] >= 0
    inputs = {"x": samples.inputs["x"][keep]}
    return type(samples)(inputs, {"y": samples.outputs["y"][keep]})


def test_a_notice_that_comes_again_makes_no_second_release(upgraded):
    before = upgraded.record()["sequence"], upgraded.history(2)
    digest = upgraded.operate(f"releases/{MODEL}@2")["digest"]
    image = f"europe-west4-docker.pkg.dev/packhorse-demo/models/{MODEL}"
    notice = {"action": "INSERT", "digest": f"{image}@{digest}", "tag": f"{image}:2"}
    for _ in range(3):
        upgraded.notify(notice)
    upgraded.notify({"action": "INSERT", "digest": f"{image}@{digest}"})
    _let_pass(upgraded)
    assert (upgraded.record()["sequence"], upgraded.history(2)) == before


HEX = "a" * 64
HOME = "europe-west4-docker.pkg.dev/packhorse-demo"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"\xffnot json", "JSON|UTF-8"),
        (b"[]", "object"),
        ({"action": "INSERT"}, "digest"),
        (
            {
                "action": "INSERT",
                "digest": f"{HOME}/other/tiny@sha256:{HEX}",
                "tag": f"{HOME}/other/tiny:9",
            },
            "models are pushed to",
        ),
        ({"action": "DELETE", "tag": f"{HOME}/models/tiny:2"}, "[Dd]elet|DELETE"),
        (
            {
                "action": "INSERT",
                "digest": f"{HOME}/models/tiny@sha256:{HEX}",
                "tag": f"{HOME}/models/tiny:sha256-{HEX}.sig",
            },
            "signature|attach|tag",
        ),
    ],
    ids=["garbage", "list", "no digest", "foreign", "delete", "signature"],
)
def test_a_notice_that_is_no_release_is_acknowledged_and_recorded(upgraded, body, word):
    before = len(upgraded.refusals())
    upgraded.notify(body)
    wait_until(lambda: len(upgraded.refusals()) > before, "the refusal is recorded", 20)
    assert any(re.search(word, reason) for reason in upgraded.refusals().values())
    assert upgraded.stable() == f"{MODEL}@2"


def test_a_version_that_exists_with_other_files_is_not_replaced(upgraded):
    done = upgraded.push(2, model=tiny_model(99), golden=tiny_golden(tiny_model(99)))
    assert done.returncode == 1
    assert "a version never changes" in done.stderr
    assert "Traceback" not in done.stderr


def test_pushing_the_same_files_again_says_so_and_changes_nothing(upgraded):
    before = upgraded.record()["sequence"]
    done = upgraded.push(2)
    assert done.returncode == 0
    assert '"is_new": false' in done.stdout
    assert upgraded.record()["sequence"] == before


def test_a_gateway_that_was_off_during_the_rollout_converges_when_it_is_back(upgraded):
    gateway = upgraded.stack.gateways["gw-1"]
    gateway.agent.stop()
    gateway.server.stop()
    upgraded.stack.add_gateway("gw-2", 1)
    upgraded.stack.start_gateway("gw-2")
    upgraded.all_answer(2, ["gw-2"])
    assert upgraded.release(5) == "rollout finished"
    upgraded.all_answer(5, ["cloud", "gw-0", "gw-2"])
    gateway.server.start()
    gateway.server.wait_ready()
    assert upgraded.ask("gw-1") == f"{MODEL}@2"
    gateway.agent.start()
    upgraded.all_answer(5)


def test_gateways_answer_without_a_cloud_and_go_on_when_it_is_back(upgraded):
    upgraded.stack.stop_cloud()
    gateways = list(upgraded.stack.gateways)
    with upgraded.traffic(gateways) as answers:
        wait_until(lambda: all(c.total() > 50 for c in answers.values()), "answers")
    for place, counts in answers.items():
        assert set(counts) == {f"{MODEL}@5"}, place
    upgraded.stack.restart_cloud()
    assert upgraded.release(6) == "rollout finished"
    upgraded.all_answer(6)


def test_a_withdrawal_takes_both_halves_back_without_a_failed_request(upgraded):
    with upgraded.traffic() as answers:
        done = upgraded.stack.packhorse("withdraw", f"{MODEL}@6", "--json")
        assert done.returncode == 0, done.stderr
        upgraded.all_answer(5)
    for place, counts in answers.items():
        assert set(counts) <= {f"{MODEL}@5", f"{MODEL}@6"}, place
    assert upgraded.stable() == f"{MODEL}@5"


def test_a_release_that_was_withdrawn_does_not_come_back(upgraded):
    done = upgraded.push(6)
    assert done.returncode == 0
    _let_pass(upgraded)
    assert upgraded.stable() == f"{MODEL}@5"


def test_anyone_with_the_root_can_verify_a_release(upgraded):
    plan = upgraded.stack.plan
    done = upgraded.stack.packhorse(
        *("verify", f"{MODEL}@5", "--repository", plan.repository_url, "--json"),
        *("--root", str(plan.folder / "repository" / "1.root.json")),
    )
    assert done.returncode == 0, done.stderr
    assert f'"release": "{MODEL}@5"' in done.stdout


def test_gateways_read_a_private_bucket_with_tokens_that_they_renew(upgraded):
    name = f"{upgraded.stack.plan.private_repository_url}/metadata/timestamp.json"
    assert requests.get(name, timeout=5).status_code == 403

    def renewals():
        events = [event for event, _ in upgraded.agent_events("gw-0")]
        return events.count("token_done")

    before = renewals()
    wait_until(lambda: renewals() > before >= 1, "gw-0 renews its token", 30)


def test_a_gateway_changes_its_key_when_it_is_asked_from_afar(upgraded):
    before = upgraded.operate("devices/gw-0")
    upgraded.stack.packhorse("device", "rotate", "gw-0").check_returncode()

    def after():
        return upgraded.operate("devices/gw-0")

    wait_until(
        lambda: after()["key_sha256"] != before["key_sha256"], "gw-0 has a new key", 40
    )
    assert not after()["is_rotation_wanted"]
    done = ("rotation_done", None)
    wait_until(lambda: done in upgraded.agent_events("gw-0"), "gw-0 heard of it", 10)


def test_a_revoked_gateway_serves_on_and_holds_nobody_up(upgraded):
    upgraded.stack.packhorse(
        *("device", "revoke", "gw-1", "--reason", "stolen")
    ).check_returncode()
    seen = len(upgraded.agent_events("gw-1"))

    # Gateways that keep their keys, new or old, get the next release without it.
    assert upgraded.release(7) == "rollout finished"
    upgraded.all_answer(7, [place for place in upgraded.places() if place != "gw-1"])

    def refused():
        events = [event for event, _ in upgraded.agent_events("gw-1")[seen:]]
        return "token_failed" in events

    wait_until(refused, "gw-1 is refused a token", 40)
    # Its last token lives a little longer: it may have read the new release with it.
    either = {f"{MODEL}@5", f"{MODEL}@7"}
    wait_until(lambda: upgraded.ask("gw-1") in either, "gw-1 serves on", 5)
    shown = upgraded.operate("devices/gw-1")
    assert (shown["is_revoked"], shown["reason"]) == (True, "stolen")


def test_nothing_was_given_up(upgraded):
    """No message reached the dead letters, and the outbox is empty."""
    wait_until(
        lambda: upgraded.operate("status")["pending_events"] == 0, "all is sent", 10
    )
    assert upgraded.dead_letters() == []


def _let_pass(fleet):
    """Wait until every notice sent so far has been handled: a later one is."""
    before = len(fleet.refusals())
    digest = hashlib.sha256(bytes([before])).hexdigest()
    fleet.notify({"action": "MARK", "digest": f"{HOME}/models/mark@sha256:{digest}"})
    wait_until(lambda: len(fleet.refusals()) > before, "a later notice is handled", 20)
