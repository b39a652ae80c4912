"""A release on probation: how it is watched, and how it is gone back from."""

import json
import os
import shlex
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_runtime.slots import open_slots
from edge_runtime.supervision.handover import load_handover
from packhorse.names import parse_release
from tests.edge_runtime.agent.gateway import children
from tests.edge_runtime.clients import ROW, problems
from tests.edge_runtime.gateways import install_tiny, wait_for

LONG_S = "120"
HALF = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"
AT_ONCE_S = 1.0
"""The issue's promise."""


@pytest.fixture
def switch(start_gateway, state_dir):
    """Return a function that starts a gateway on tiny@1 and switches to tiny@2."""

    def switch(**settings):
        install_tiny(state_dir, "a", 1, is_active=True)
        gateway = start_gateway(**{"PACKHORSE_PROBATION_S": LONG_S, **settings})
        gateway.wait_ready()
        install_tiny(state_dir, "b", 2)
        assert gateway.order("switch", slot="b")["ok"] is True
        return gateway

    return switch


def events(gateway, name):
    lines = map(json.loads, gateway.log.read_text().splitlines())
    return [line for line in lines if line["event"] == name]


def serves(gateway, version):
    return gateway.infer([ROW])[1].get("model_version") == str(version)


def test_going_back_by_hand_takes_less_than_a_second_and_loses_no_request(
    switch, start_clients
):
    gateway = switch()
    clients = start_clients(gateway.port, 6)
    wait_for(lambda: all(c.versions and c.versions[-1] == 2 for c in clients))
    begun_s = time.monotonic()

    reply = gateway.order("roll_back", reason="wrong by hand")

    assert serves(gateway, 1)
    assert time.monotonic() - begun_s < AT_ONCE_S
    assert (reply["release"], reply["took_s"] < AT_ONCE_S) == ("tiny@1", True)
    wait_for(lambda: all(c.versions[-1] == 1 for c in clients))
    assert problems(clients) == []
    assert gateway.status()["reason"] == "tiny@2: wrong by hand"
    assert open_slots(gateway.state_dir).active().name == "a"


def test_a_second_order_to_go_back_does_not_bring_the_bad_release_again(switch):
    gateway = switch()
    assert gateway.order("roll_back")["ok"] is True
    reply = gateway.order("roll_back")
    assert (reply["ok"], reply["reason"]) == (
        False,
        "there is nothing to go back to from tiny@1",
    )
    assert serves(gateway, 1)


def test_why_it_was_gone_back_is_known_after_a_restart(switch, start_gateway):
    gateway = switch()
    gateway.order("roll_back", reason="wrong by hand")
    gateway.stop()
    again = start_gateway()
    assert again.wait_ready()["reason"] == "tiny@2: wrong by hand"
    fallen = load_handover(gateway.state_dir).fallen
    assert fallen == parse_release("tiny@2")


def test_a_worker_that_hangs_is_gone_back_from(switch):
    gateway = switch()
    hung = gateway.status()["worker_pid"]
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: gateway.status()["reason"], timeout_s=15.0)
    assert serves(gateway, 1)
    assert "not obey within 5 s" in gateway.status()["reason"]

    assert gateway.stop() == 0

    # It was about to be sent off: who stops takes it along.
    assert not Path(f"/proc/{hung}").exists()


def test_a_process_that_is_lost_takes_its_release_back_at_once(switch, tmp_path):
    gateway = switch(PACKHORSE_PROCESSES="3")
    mate = children(gateway.status()["worker_pid"])[0]
    begun_s = time.monotonic()
    os.kill(mate, signal.SIGSEGV)
    wait_for(lambda: gateway.status()["slot"] == "a")
    assert serves(gateway, 1)
    assert time.monotonic() - begun_s < AT_ONCE_S
    assert "tiny@2" in gateway.status()["reason"]


def test_a_process_that_is_killed_is_forgiven_once_also_under_load(switch):
    gateway = switch(PACKHORSE_PROCESSES="3")
    for slot, version in (("b", 2), ("a", 1)):
        with ExitStack() as held:
            # What is half sent keeps the worker from ending for ten seconds.
            for _ in range(9):
                held.enter_context(gateway.connect()).sendall(HALF)
            pid = gateway.status()["worker_pid"]
            begun_s = time.monotonic()
            os.kill(children(pid)[0], signal.SIGKILL)
            wait_for(lambda pid=pid: gateway.status()["worker_pid"] not in {0, pid})
            wait_for(lambda slot=slot: gateway.status()["slot"] == slot)
            assert time.monotonic() - begun_s < 5.0
        wait_for(lambda version=version: serves(gateway, version))
    assert "its worker ended with -9" in gateway.status()["reason"]


def test_what_the_health_command_says_no_to_is_gone_back_from(switch):
    gateway = switch(
        PACKHORSE_HEALTH_COMMAND="echo $PACKHORSE_RELEASE is odd >&2; exit 3",
        PACKHORSE_HEALTH_EVERY_S="0.1",
    )
    wait_for(lambda: gateway.status()["reason"])
    assert serves(gateway, 1)
    assert gateway.status()["reason"] == (
        "tiny@2: the health command ended with 3: tiny@2 is odd (3 times in a row)"
    )
    failed, (back,) = events(gateway, "health_failed"), events(gateway, "rolled_back")
    assert len(failed) == 3
    assert back["at"] >= failed[-1]["at"]


def test_the_health_command_asks_the_release_that_is_on_probation(switch, tmp_path):
    seen = tmp_path / "seen"
    url = "http://127.0.0.1:$PACKHORSE_PORT/v2/models/tiny/ready"
    gateway = switch(
        PACKHORSE_HEALTH_COMMAND=f"curl -sfI {url} >> {shlex.quote(str(seen))}",
        PACKHORSE_HEALTH_EVERY_S="0.1",
        PACKHORSE_PROBATION_S="0.5",
    )
    wait_for(lambda: gateway.status()["previous"] == "")
    assert "200 OK" in seen.read_text()
    assert serves(gateway, 2)
    assert events(gateway, "health_failed") == []


def test_a_probation_does_not_end_while_the_health_command_fails(switch, tmp_path):
    well = tmp_path / "well"
    gateway = switch(
        PACKHORSE_HEALTH_COMMAND=f"test -e {shlex.quote(str(well))}",
        PACKHORSE_HEALTH_EVERY_S="0.1",
        PACKHORSE_HEALTH_FAILURES_MAX="1000",
        PACKHORSE_PROBATION_S="0.2",
    )
    wait_for(lambda: len(events(gateway, "health_failed")) > 5)
    assert gateway.status()["previous"] == "a"
    well.touch()
    wait_for(lambda: gateway.status()["previous"] == "")
    assert serves(gateway, 2)


def test_what_is_over_its_probation_is_not_watched_by_the_command(switch, tmp_path):
    runs = tmp_path / "runs"
    gateway = switch(
        PACKHORSE_HEALTH_COMMAND=f"echo >> {shlex.quote(str(runs))}",
        PACKHORSE_HEALTH_EVERY_S="0.05",
        PACKHORSE_PROBATION_S="0.2",
    )
    wait_for(lambda: gateway.status()["previous"] == "")
    before = runs.read_text()
    time.sleep(0.3)
    assert runs.read_text() == before


def test_a_release_on_whose_probation_the_gateway_ends_again_and_again_is_left(
    switch, start_gateway
):
    gateway = switch()
    for _ in range(3):
        gateway.process.kill()
        gateway.process.wait()
        gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
        assert gateway.wait_ready()["release"] == "tiny@2"
        assert gateway.status()["previous"] == "a"
    gateway.process.kill()
    gateway.process.wait()

    last = start_gateway(PACKHORSE_PROBATION_S=LONG_S)

    status = last.wait_ready()
    assert status["release"] == "tiny@1"
    assert status["reason"] == "tiny@2: the gateway ended 3 times on its probation"


def test_a_gateway_that_is_stopped_properly_counts_for_nothing(switch, start_gateway):
    gateway = switch()
    for _ in range(4):
        gateway.stop()
        gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
        assert gateway.wait_ready()["release"] == "tiny@2"
    assert gateway.order("roll_back")["ok"] is True  # by a new worker
    assert serves(gateway, 1)


def test_a_slot_that_is_still_warm_is_switched_to_without_a_start(switch):
    gateway = switch()
    reply = gateway.order("switch", slot="a")
    assert reply["took_s"] < AT_ONCE_S
    assert serves(gateway, 1)
    assert len(events(gateway, "worker_ready")) == 2
    assert load_handover(gateway.state_dir).fallen is None


def test_a_release_that_was_never_switched_to_is_not_gone_back_to(switch, state_dir):
    gateway = switch(PACKHORSE_PROBATION_S="0.1")
    wait_for(lambda: gateway.status()["previous"] == "")
    install_tiny(state_dir, "a", 3)
    assert gateway.order("roll_back")["ok"] is False
    assert serves(gateway, 2)


def test_a_gateway_serves_nothing_when_told_and_says_why(
    start_gateway, state_dir, start_clients
):
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = start_gateway()
    gateway.wait_ready()
    why = "tiny@1 was withdrawn"
    assert gateway.order("serve_nothing", release="tiny@2", reason=why)["ok"] is False

    for _ in range(2):
        order = gateway.order("serve_nothing", release="tiny@1", reason=why)
        assert order["ok"] is True

    status, _, body = gateway.get("/v2/health/ready")
    assert (status, why in json.loads(body)["error"]) == (503, True)
    assert gateway.infer([ROW])[0] == 503
    assert gateway.order("roll_back")["ok"] is False
    gateway.stop()
    again = start_gateway()
    again.wait_serving()
    assert why in json.loads(again.get("/v2/health/ready")[2])["error"]
    install_tiny(state_dir, "b", 3)
    assert again.order("switch", slot="b")["ok"] is True
    assert serves(again, 3)


def test_what_lies_in_a_slot_and_was_never_switched_to_is_not_served(
    start_gateway, state_dir
):
    install_tiny(state_dir, "a", 1)
    gateway = start_gateway()
    gateway.wait_serving()
    assert gateway.infer([ROW])[0] == 503
