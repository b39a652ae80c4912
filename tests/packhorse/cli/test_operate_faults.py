"""Whatever answers in the place of `operate`, people get one sentence."""

import json
import time

import pytest

from tests.packhorse.cli.people import reply

RELEASE, STATUS = "/v1/releases/magika@2", "/v1/status"


@pytest.fixture
def operator(person, server):
    person.environ["PACKHORSE_OPERATE_URL"] = server.url
    return person


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply({"error": "who?"}, status=401), "who?; does --token-command print"),
        ((403, {}, b"<html>Forbidden"), "operate answered 403; you are not among"),
        ((404, {}, b"<html>"), "operate answered 404; is --operate-url right?"),
        (reply({"error": "it broke"}, status=500), "it broke; try again in a moment"),
        ((503, {}, b""), "operate answered 503; try again in a moment"),
        ((418, {}, b'{"error": 5}'), "operate answered 418"),
        ((200, {}, b"<html>"), "does not speak as operate does"),
        ((200, {}, b"[]"), "does not speak as operate does"),
        ((200, {}, b'{"a":1,"a":2}'), "does not speak as operate does"),
        ((200, {}, b" " * (16 * 1024**2 + 1)), "more than 16777216 bytes"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "could not be reached"),
        (reply({"error": "\x1b]0;evil\x07 \u202e"}, status=409), r"\x1b]0;evil\x07"),
        (None, "could not be reached"),
    ],
)
def test_a_fault_is_a_sentence(operator, server, answer, said):
    server.on("*", "*", answer)
    assert said in operator.refused("status")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("rollout", "show", "m"), {"model": "m"}),
        (("rollout", "show", "m"), {"model": "m", "state": "open", "stable": 5}),
        (("rollout", "halt", "m"), {}),
        (("withdraw", "m@1"), {"model": "m"}),
        (("device", "invite", "gw", "--ring", "0"), {"device": "gw"}),
    ],
)
def test_a_reply_that_lacks_something_is_a_sentence(operator, server, words, answer):
    server.on("*", "*", reply(answer))
    assert "operate's reply" in operator.refused(*words)


def test_a_status_of_nonsense_is_shown_as_far_as_it_goes(operator, server):
    rows = [5, {"release": 7, "state": ["x"], "changed_at": "soon"}, {}]
    names = ("releases", "rollouts", "shadows", "devices", "refusals")
    server.on("GET", STATUS, reply(dict.fromkeys(names, rows)))
    assert operator.run("status").exit_code == 0


def test_nothing_from_elsewhere_steers_the_terminal(operator, server):
    evil = "\x1b[2J\x9b\u202e[red]x[/red][/nonsense]"
    row = dict.fromkeys(
        ("release", "state", "reason", "model", "device", "serving", "subject", "live"),
        evil,
    )
    names = ("releases", "rollouts", "shadows", "devices", "refusals", "history")
    rows = {name: [row] for name in names}
    server.on("GET", STATUS, reply({**row, **rows}))
    server.on("GET", RELEASE, reply({**row, **rows}))
    for words in (("status",), ("status", "--all"), ("status", "magika@2")):
        shown = operator.run(*words).stdout
        assert not set(shown) & set("\x1b\x9b\u202e")
        assert r"\x1b[2J\x9b\u202e[red]x[/red][/nonsense]" in shown


def test_nothing_there_yet_is_said(operator, server):
    server.on("GET", STATUS, reply({}))
    shown = operator.run("status").stdout
    assert "No release yet" in shown
    assert "No gateway yet" in shown


def test_a_large_fleet_is_summed_up(operator, server):
    devices = [
        {"device": f"gw-{n}", "ring": n % 3, "serving": "m@1", "state": "serving"}
        for n in range(200)
    ]
    devices[7] |= {"state": "refused", "release": "m@2", "reason": "why " * 90}
    status = {"devices": devices, "fleet_size": 5000}
    server.on("GET", STATUS, reply(status))
    short = operator.run("status").stdout
    full = operator.run("status", "--all").stdout
    assert "gw-7" in short
    assert "gw-8" not in short
    assert "and 199 more devices; `--all` shows them" in short
    assert "The fleet has 5000 devices; operate tells of 200." in short
    assert "gw-199" in full


def test_an_invitation_prints_the_token_alone(operator, server):
    answer = {"token": "-secret", "expires_at": "2026-11-29T22:29:00+00:00"}
    server.on("POST", "/v1/devices", reply(answer, status=201))
    done = operator.run("device", "invite", "gw-1", "--ring", "1")
    assert done.stdout == "-secret\n"
    assert "once, until 2026-11-29 22:29 UTC" in done.stderr
    assert json.loads(server.seen[0][3]) == {"device": "gw-1", "ring": 1}


# -- watching --


def history(*whats, status=200):
    rows = [
        {"at": f"2026-01-01T00:00:0{n}+00:00", "what": w} for n, w in enumerate(whats)
    ]
    return reply({"release": "magika@2", "history": rows}, status)


NOT_YET = reply({"error": "no release magika@2 was ever registered"}, status=404)


@pytest.fixture
def watch(operator, server, files):
    """Push to a registry that takes everything, and watch."""
    server.on("POST", "*", (202, {"Location": "/upload"}, b""))
    server.on("PUT", "*", (201, {}, b""))
    words = ["push", files.model(), "--name", "magika", "--golden", files.golden()]
    words += ["--version", 2, "--watch", "--registry", f"{server.url}/p/models"]
    return lambda *more: operator.run(*words, *more)


def test_a_watch_shows_each_change_once_until_the_release_has_arrived(watch, server):
    server.on(
        *("GET", RELEASE, NOT_YET, history("registered"), (503, {}, b"")),
        history("registered", "rollout open", "rollout finished", "serving on gw-9"),
    )
    done = watch()
    assert done.exit_code == 0, done.output
    assert [line.split("s  ")[1] for line in done.stdout.splitlines()[1:]] == [
        *("registered", "rollout open", "rollout finished", "serving on gw-9")
    ]


@pytest.mark.parametrize("end", ["refused", "rollout halted", "rollout withdrawn"])
def test_a_watch_of_what_does_not_arrive_fails(watch, server, end):
    server.on("GET", RELEASE, history("registered", "rollout finished", end))
    done = watch("--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["arrived"] is False
    assert done.stderr == f"Error: magika@2 did not arrive, {end}\n"


def test_a_watch_at_the_wrong_address_ends_at_once(watch, server):
    begun = time.monotonic()
    assert watch().exit_code == 1
    assert time.monotonic() - begun < 5


# -- a change of what moves --

ROLLOUT = "/v1/rollouts/magika"
RECORD = {"model": "magika", "state": "open", "sequence": 7, "withdrawn": []}
STALE = reply({"error": "the rollout is at another state"}, status=412)


def test_a_withdrawal_is_tried_again_when_the_rollout_moves_on(operator, server):
    server.on("GET", ROLLOUT, *(reply(RECORD, ETag=f'"{n}"') for n in (5, 6, 7)))
    server.on("POST", f"{ROLLOUT}/withdraw", STALE, reply(RECORD))
    assert operator.run("withdraw", "magika@2", "--no-wait").exit_code == 0
    tags = [seen[2]["If-Match"] for seen in server.seen if seen[0] == "POST"]
    assert tags == ['"6"', '"7"']


def test_opening_is_not_tried_again(operator, server):
    server.on("GET", ROLLOUT, *(reply(RECORD, ETag=f'"{n}"') for n in (5, 6)))
    server.on("POST", f"{ROLLOUT}/open", STALE)
    assert "another state" in operator.refused("rollout", "open", "magika")


# -- the token --


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "printed nothing"),
        ("false", "failed with exit code 1"),
        ("sh -c 'echo oh no >&2; exit 3'", "failed with exit code 3 (oh no)"),
        ("no-such-program", "cannot be run: No such file or directory"),
        ("'", "is no command"),
        (" ", "is no command"),
        ("printf 'a\\nb'", "no identity token"),
    ],
)
def test_a_token_command_that_gives_no_token_is_a_sentence(operator, command, said):
    sentence = operator.refused("status", "--token-command", command)
    assert said in sentence
    assert "token command" in sentence
