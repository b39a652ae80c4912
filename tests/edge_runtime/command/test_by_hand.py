"""What a person does at the gateway, without a network: roll back, hold, look."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment, Memory, MemoryFile, Refusal
from edge_runtime.hold import hold_path, lift_hold, read_hold
from packhorse.assignment import BundleRef
from packhorse.names import parse_release
from tests.edge_runtime.gateways import install_tiny
from tests.edge_runtime.test_main import run

TINY_3 = parse_release("tiny@3")


def asked(state_dir, *arguments):
    return run(*arguments, PACKHORSE_STATE_DIR=str(state_dir))


@pytest.fixture
def switched(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = start_gateway()
    gateway.wait_ready()
    install_tiny(state_dir, "b", 2)
    assert gateway.order("switch", slot="b")["ok"] is True
    return gateway


def test_rolling_back_says_what_serves_and_status_says_why(switched, state_dir):
    assert "watch   on probation; it goes back to tiny@1" in (
        asked(state_dir, "status").stdout
    )
    done = asked(state_dir, "rollback", "--reason", "reads wrongly")
    assert done.stdout.startswith("tiny@1 serves again, after 0.")
    status = asked(state_dir, "status").stdout
    assert "server  tiny@1: ready" in status
    assert "back    from tiny@2: rolled back by hand: reads wrongly" in status


def test_where_there_is_nothing_to_go_back_to_it_says_so(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    start_gateway().wait_ready()
    done = asked(state_dir, "rollback")
    assert (done.returncode, done.stderr) == (
        1,
        "edge-runtime: there is nothing to go back to from tiny@1\n",
    )


def test_rolling_back_works_where_no_server_runs(switched, state_dir, start_gateway):
    switched.stop()
    done = asked(state_dir, "rollback")
    assert done.stdout == "tiny@1 will serve: no `edge-runtime serve` runs here\n"
    assert asked(state_dir, "rollback").returncode == 1
    assert start_gateway().wait_ready()["release"] == "tiny@1"


def test_a_gateway_is_held_and_goes_on(state_dir):
    state_dir.mkdir()
    assert asked(state_dir, "hold", "--reason", "audit").stdout == "held: audit\n"
    assert "held    audit" in asked(state_dir, "status").stdout
    assert asked(state_dir, "hold", "--off").stdout == "goes on\n"
    assert asked(state_dir, "hold", "--off").stdout == "was not held\n"
    assert json.loads(asked(state_dir, "status", "--json").stdout)["hold"] is None


def test_who_asks_how_to_hold_is_told_that_a_withdrawal_is_obeyed_all_the_same():
    text = " ".join(run("hold", "--help").stdout.split())
    assert "A withdrawal is obeyed all the same" in text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"a\n b\x00\xff", "a b \N{REPLACEMENT CHARACTER}"),
        (b"x" * 9999, "x" * 300),
    ],
    ids=["empty", "odd", "long"],
)
def test_a_hold_file_made_by_hand_holds_whatever_is_in_it(tmp_path, body, words):
    hold_path(tmp_path).write_bytes(body)
    assert read_hold(tmp_path) == words


def test_a_hold_file_that_cannot_be_read_holds(tmp_path):
    hold_path(tmp_path).mkdir()
    assert "cannot be read" in read_hold(tmp_path)
    assert lift_hold(tmp_path)
    assert read_hold(tmp_path) is None


@pytest.mark.parametrize("command", ["rollback", "hold"])
def test_a_folder_that_is_none_is_not_made(tmp_path, command):
    done = asked(tmp_path / "none", command)
    assert done.returncode == 1
    assert "must name a gateway's folder" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.fixture
def standing(state_dir):
    """A state directory in which an agent waits, has refused, and knows the time."""
    waiting = Deployment(
        TINY_3,
        "fp32",
        BundleRef("bundles/tiny/3/fp32.tar", 10, "a" * 64),
        "tiny@3#1",
        Stage.SWITCH,
        datetime.now(UTC),
        wait="window",
        why="the window 02:00-04:00 is closed",
    )
    refused = Refusal(parse_release("tiny@2"), "tiny@2#1", "NaN in 'y'")
    memory = Memory(deployment=waiting).with_refusal(refused)
    MemoryFile(state_dir / "agent" / "memory.json").save(memory)
    (state_dir / "spool").mkdir()
    (state_dir / "spool" / "0001.json").touch()
    (state_dir / "trusted").mkdir()
    for role, days in (("timestamp", 1), ("root", 100)):
        expires = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        document = {"signed": {"expires": expires}}
        (state_dir / "trusted" / f"{role}.json").write_text(json.dumps(document))
    return state_dir


def test_status_says_how_the_agent_stands(standing):
    text = asked(standing, "status").stdout
    assert (
        "deploy  tiny@3 of rollout tiny@3#1: switch, waits: the window 02:00-04:00"
        in text
    )
    assert "refused tiny@2, until its rollout is another: NaN in 'y'" in text
    assert "UTC, when timestamp expires" in text
    assert "reports 1 waits" in text
    agent = json.loads(asked(standing, "status", "--json").stdout)["agent"]
    assert agent["deployment"]["waits_for"] == "window"
    assert set(agent["trusted_until"]) == {"timestamp", "root"}


def test_status_says_that_the_clock_is_wrong_and_what_has_expired(standing):
    Clock(standing).note(datetime.now(UTC) + timedelta(days=30))
    before = (standing / "clock.json").read_bytes()
    text = asked(standing, "status").stdout
    assert "clock   wrong: it is behind" in text
    assert "trust   expired" in text
    assert (standing / "clock.json").read_bytes() == before


@pytest.mark.parametrize("name", ["agent/memory.json", "trusted/timestamp.json"])
def test_status_survives_files_that_are_none(standing, name):
    for body in (b"", b"[]", b'{"signed": 3}', b"\xff" * 100):
        (standing / name).write_bytes(body)
        assert asked(standing, "status").returncode == 0


def test_status_shows_what_was_refused_of_the_repository(standing):
    file = MemoryFile(standing / "agent" / "memory.json")
    file.save(Memory(complaint="the timestamp is not signed"))
    text = asked(standing, "status").stdout
    assert "trust   the last metadata was refused: the timestamp is not signed" in text
    assert "deploy  nothing is under way" in text
