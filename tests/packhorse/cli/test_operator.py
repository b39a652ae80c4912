"""What an operator reads and changes, through the real function `operate`."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from functions.release.shadows import ShadowCounts, ShadowReport
from packhorse.names import Release
from packhorse.report import DeviceState, Report


@pytest.fixture
def operator(person, cloud):
    """Someone whom `operate` lets in."""
    person.environ |= cloud.environ()
    return person


@pytest.fixture
def model(request):
    """Return a model name that no other test uses."""
    return f"m{abs(hash(request.node.name)) % 10**9}"


@pytest.fixture
def rolling(cloud, model):
    """Version 1 is stable, version 2 on its way."""
    cloud.release(Release(model, 1), is_stable=True)
    cloud.release(Release(model, 2))
    return model


def serving(cloud, device, release):
    at = datetime.now(UTC)
    cloud.ledger.record_device(device, ring=0, at=at)
    sequence = int(at.timestamp() * 1e6)
    report = Report(device, sequence, at, release, "", DeviceState.SERVING)
    cloud.ledger.record_report(report, digest=f"{sequence:064x}", at=at)


def test_status_names_what_is_stable_and_what_is_on_its_way(operator, rolling):
    shown = operator.run("status", "--all").stdout
    line = next(x for x in shown.splitlines() if f"{rolling}@1" in x)
    assert "stable" in line
    assert f"{rolling}@2" in shown


def test_status_shows_what_shadow_runs_found(operator, rolling, cloud):
    at = datetime.now(UTC)
    counts = ShadowCounts(97, 3, 0, 100, 2.0, 2.5, "output 'y' differs")
    report = ShadowReport(
        "f" * 32, Release(rolling, 1), Release(rolling, 2), at, counts
    )
    cloud.ledger.record_shadows(report, at=at)

    shown = operator.run("status").stdout

    line = next(x for x in shown.splitlines() if f"{rolling}@2" in x and "97.0%" in x)
    for word in (f"{rolling}@1", " 100 ", "x 1.25", "output 'y' differs"):
        assert word in line


def test_status_of_a_release_says_in_words_where_it_stands(operator, rolling):
    first, *rest = operator.run("status", f"{rolling}@2").stdout.splitlines()
    assert first.startswith(f"{rolling}@2 waits for its rollout, ")
    assert any("registered" in line for line in rest)


def test_a_refused_release_says_why(operator, cloud, model):
    release = Release(model, 4)
    digest, at = f"sha256:{4:064x}", datetime.now(UTC)
    cloud.ledger.register_release(
        release, digest=digest, card={}, variants=["fp32"], at=at
    )
    cloud.ledger.refuse_release(release, reason="output 'y' is [b]NaN\x1b[2J", at=at)
    first = operator.run("status", str(release)).stdout.splitlines()[0]
    assert first.startswith(f"{release} was refused, ")
    assert first.endswith(r"output 'y' is [b]NaN\x1b[2J")


def test_status_as_json_is_what_operate_says(operator, rolling):
    document = operator.document("status", f"{rolling}@1")
    assert document["release"] == f"{rolling}@1"


def test_a_rollout_is_shown_halted_and_opened(operator, rolling):
    shown = operator.run("rollout", "show", rolling).stdout
    halted = operator.run("rollout", "halt", rolling, "--reason", "odd").stdout
    opened = operator.document("rollout", "open", rolling)
    where = f"stable is {rolling}@1, candidate is {rolling}@2"
    assert shown == f"the rollout of {rolling} is waiting, {where}\n"
    assert halted == f"the rollout of {rolling} is halted, {where}: odd\n"
    assert opened["state"] == "waiting"


def test_opening_what_is_not_halted_is_refused(operator, rolling):
    assert operator.refused("rollout", "open", rolling)


def test_a_withdrawal_waits_until_nothing_answers_with_it(operator, cloud, rolling):
    bad, good = Release(rolling, 2), Release(rolling, 1)
    device = f"gw-{rolling}"
    serving(cloud, device, bad)

    def leave():
        until_withdrawn(cloud, bad)
        cloud.publish(rolling)
        serving(cloud, device, good)

    leaving = threading.Thread(target=leave)
    leaving.start()
    done = operator.run("withdraw", bad, "--reason", "wrong labels")
    leaving.join()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{bad} is withdrawn everywhere, after ")
    assert f"stable is {good}: wrong labels" in done.stdout
    assert operator.document("withdraw", bad)["took_s"] < 5


def until_withdrawn(cloud, release):
    while release not in cloud.ledger.rollout(release.model).withdrawn:
        pass


def test_a_withdrawal_may_not_wait(operator, rolling):
    done = operator.run("withdraw", f"{rolling}@2", "--no-wait")
    assert done.stdout.startswith(f"{rolling}@2 is being withdrawn; ")
    first = operator.run("status", f"{rolling}@2").stdout.splitlines()[0]
    assert f"{rolling}@2 was withdrawn, " in first
    assert "by operator@example.com" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "nobody@1"), "no release nobody@1 was ever registered"),
        (("rollout", "show", "nobody"), "no release of nobody was ever rolled out"),
        (("withdraw", "nobody@1"), "no release of nobody was ever rolled out"),
    ],
)
def test_what_was_never_there_is_said(operator, words, said):
    assert operator.refused(*words) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "nonsense"), "model@version, for example magika@7"),
        (("withdraw", "magika"), "model@version"),
        (("rollout", "show", "MAGIKA"), "a model's name must match"),
        (("device", "invite", "GW", "--ring", "0"), "a device's name must match"),
        (("device", "invite", "gw", "--ring", "100"), "is not in the range"),
        (("nonsense",), "No such command"),
    ],
)
def test_a_name_that_nothing_can_have_is_wrong_usage(operator, words, said):
    assert said in operator.misused(*words)


def test_a_stranger_is_not_let_in(person, cloud):
    person.environ |= cloud.environ("stranger@example.com")
    assert "stranger@example.com may not call" in person.refused("status")


def test_what_is_no_token_is_not_let_in(person, cloud):
    person.environ["PACKHORSE_OPERATE_URL"] = cloud.url
    assert "does --token-command print" in person.refused("status")


def test_every_help_has_an_example(operator):
    for words in (
        *([], ["push"], ["status"], ["withdraw"], ["verify"]),
        *(["rollout", "show"], ["rollout", "halt"], ["rollout", "open"]),
        *(["device", "invite"], ["keys", "init"], ["keys", "show"]),
    ):
        shown = operator.run(*words, "--help")
        assert shown.exit_code == 0
        assert "Examples:\n" in shown.stdout, words


def test_a_root_that_is_none_is_named(person):
    words = ("--repository", "http://127.0.0.1:9/b", "--root", Path(__file__))
    sentence = person.refused("verify", "magika@1", *words)
    assert "must be the root metadata" in sentence
