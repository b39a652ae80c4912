"""An operator sees every gateway, sends one away, and asks one for a new key."""

from datetime import UTC, datetime

import pytest

from packhorse.names import Release
from packhorse.report import DeviceState, Report
from tests.packhorse.cli.people import reply

AT = "2026-11-22T12:00:00+00:00"
SHOWN = {
    "device": "gw-17",
    "ring": 1,
    "is_enrolled": True,
    "is_revoked": False,
    "revoked_at": None,
    "serving": "magika@2",
    "release": "magika@2",
    "state": "serving",
    "reason": "",
    "heard_at": AT,
    "key_sha256": "ab" * 32,
    "key_since": AT,
    "is_rotation_wanted": True,
    "models": ["magika"],
    "revoked_by": None,
    "history": [{"at": AT, "what": "enrolled in ring 1", "reason": "", "by": ""}],
}
GONE = SHOWN | {
    "is_enrolled": False,
    "is_revoked": True,
    "revoked_at": AT,
    "revoked_by": "operator@example.com",
    "reason": "stolen in Lyon \x1b[2J",
    "is_rotation_wanted": False,
    "models": [],
}


@pytest.fixture
def operator(person, server):
    person.environ["PACKHORSE_OPERATE_URL"] = server.url
    return person


def sent(server):
    """Return the last request: method, path, body."""
    method, path, _, body = server.seen[-1]
    return method, path, body


def test_an_invitation_may_name_what_is_read(operator, server):
    answer = {"device": "gw-17", "ring": 1, "token": "t" * 43, "expires_at": AT}
    server.on("POST", "/v1/devices", reply(answer, 201))

    done = operator.run(
        *("device", "invite", "gw-17", "--ring", 1),
        *("--model", "magika", "--model", "digits"),
    )

    assert done.stdout == "t" * 43 + "\n"
    assert b'"models": ["magika", "digits"]' in sent(server)[2]
    operator.run("device", "invite", "gw-17", "--ring", 1)
    assert b"models" not in sent(server)[2]


def test_devices_are_listed_with_who_is_gone_and_why(operator, server):
    server.on("GET", "/v1/devices", reply({"devices": [SHOWN, GONE]}))

    lines = operator.run("device", "list").stdout.splitlines()

    assert any("gw-17" in line and "serving magika@2" in line for line in lines)
    gone = next(line for line in lines if "revoked" in line)
    assert r"stolen in Lyon \x1b[2J" in gone
    assert operator.document("device", "list")["devices"] == [SHOWN, GONE]


def test_a_device_is_shown_with_its_key_and_its_history(operator, server):
    server.on("GET", "/v1/devices/gw-17", reply(SHOWN))

    shown = operator.run("device", "show", "gw-17").stdout

    for word in ("ab" * 32, AT, "magika", "a new key", "enrolled in ring 1"):
        assert word in shown
    assert operator.document("device", "show", "gw-17") == SHOWN


def test_a_device_is_revoked_with_a_reason(operator, server):
    server.on("POST", "/v1/devices/gw-17/revoke", reply(GONE))

    done = operator.run("device", "revoke", "gw-17", "--reason", "stolen in Lyon")

    assert done.stdout.startswith("gw-17 is revoked; ")
    method, path, body = sent(server)
    assert (method, path) == ("POST", "/v1/devices/gw-17/revoke")
    assert body == b'{"reason": "stolen in Lyon"}'
    assert operator.document("device", "revoke", "gw-17")["is_revoked"]


def test_a_device_is_asked_for_a_new_key(operator, server):
    server.on("POST", "/v1/devices/gw-17/rotate", reply(SHOWN))

    done = operator.run("device", "rotate", "gw-17")

    assert done.stdout.startswith("gw-17 will change its key when it next reports")
    assert "packhorse device show gw-17" in done.stdout


def test_what_operate_refuses_is_said(operator, server):
    refusal = reply({"error": "no device gw-9 was ever invited"}, 404)
    server.on("*", "*", refusal)

    for verb in ("show", "revoke", "rotate"):
        assert operator.refused("device", verb, "gw-9") == (
            "no device gw-9 was ever invited"
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("invite", "gw", "--ring", "0", "--model", "M"), "a model's name must match"),
        (("show", "GW"), "a device's name must match"),
        (("revoke", "GW"), "a device's name must match"),
        (("rotate", "GW"), "a device's name must match"),
    ],
)
def test_a_name_that_nothing_can_have_is_wrong_usage(operator, words, said):
    assert said in operator.misused("device", *words)


def test_the_real_function_lists_what_the_ledger_holds(person, cloud):
    person.environ |= cloud.environ()
    at = datetime.now(UTC)
    cloud.ledger.record_device("gw-real", ring=3, at=at)
    report = Report("gw-real", 1, at, Release("m", 1), "", DeviceState.SERVING)
    cloud.ledger.record_report(report, digest="0" * 64, at=at)

    listed = person.document("device", "list")["devices"]

    (found,) = [one for one in listed if one["device"] == "gw-real"]
    assert (found["ring"], found["serving"], found["is_revoked"]) == (3, "m@1", False)
