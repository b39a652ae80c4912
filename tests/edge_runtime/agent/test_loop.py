"""The agent as a process of its own: started, woken, killed, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from edge_runtime.agent.notices import notice_topic
from edge_runtime.agent.schedule import NOTICES_AT_ONCE
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from tests.edge_runtime.agent.broker import notices_of, publishing
from tests.edge_runtime.agent.bundles import make_offer
from tests.edge_runtime.agent.gateway import ROOT, wait_until
from tests.mosquitto import running_mosquitto
from tests.notify_socket import NotifySocket


@pytest.fixture
def environment(state_dir, server, receiver, settings):
    return {
        **os.environ,
        "PACKHORSE_STATE_DIR": str(state_dir),
        "PACKHORSE_DEVICE": "gateway-1",
        "PACKHORSE_RING": "0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_REPOSITORY_URL": server.url,
        "PACKHORSE_ROOT_FILE": str(settings.root_file),
        "PACKHORSE_ENROLL_URL": f"{receiver.url}/enroll",
        "PACKHORSE_ENROLL_TOKEN": "one-time",
        "PACKHORSE_REPORT_URL": receiver.url,
        "PACKHORSE_POLL_S": "1",
        "PACKHORSE_SHADOW_S": "0.1",
    }


@pytest.fixture
def publish(repository):
    """Return a function that makes one release stable for everybody."""

    def publish(version):
        offer = make_offer(repository, version)
        repository.publish_rollout(RolloutDocument("magika", version, stable=offer))

    return publish


@contextmanager
def running_agent(environment, log):
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "agent"],
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def serves(gateway, name):
    return lambda: gateway.infer(1, 2, 3)[1] == name


def test_an_agent_enrols_deploys_reports_and_ends_at_once_when_told(
    environment, gateway, publish, receiver, tmp_path
):
    publish(1)
    with running_agent(environment, tmp_path / "agent.log") as process:
        wait_until(serves(gateway, "magika@1"), "release 1 serves")
        wait_until(lambda: len(receiver.bodies) == 7, "the reports arrive")
        process.send_signal(signal.SIGTERM)
        told_at = time.monotonic()

        assert process.wait(10) == 0
        assert time.monotonic() - told_at < 2

    reports = receiver.reports()
    assert [report.state for report in reports] == [
        DeviceState.ENROLLED,
        DeviceState.OFFERED,
        DeviceState.DOWNLOADED,
        DeviceState.VERIFIED,
        DeviceState.INSTALLED,
        DeviceState.TRIED,
        DeviceState.SERVING,
    ]
    first = reports[0].sequence
    assert [report.sequence - first for report in reports] == list(range(7))


def _numbered(receiver):
    """Return what was reported, by number: the same report may come twice."""
    return {report.sequence: report.state for report in receiver.reports()}


def test_an_agent_started_again_says_nothing_twice(
    environment, gateway, publish, receiver, tmp_path
):
    publish(1)
    with running_agent(environment, tmp_path / "agent.log"):
        wait_until(lambda: len(_numbered(receiver)) == 7, "the reports arrive")
    publish(2)
    with running_agent(environment, tmp_path / "agent.log"):
        wait_until(lambda: len(_numbered(receiver)) == 13, "the new ones arrive")

    states = Counter(_numbered(receiver).values())
    assert states[DeviceState.ENROLLED] == 1
    assert states[DeviceState.SERVING] == 2


def test_a_second_agent_on_the_same_state_ends_with_a_sentence(
    environment, state_dir, tmp_path
):
    log = tmp_path / "agent.log"
    with running_agent(environment, log):
        wait_until(lambda: "agent_started" in log.read_text(), "the first agent runs")
        second = subprocess.run(
            [sys.executable, "-m", "edge_runtime", "agent"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert second.returncode == 1
    assert f"another agent works in {state_dir}" in second.stderr


def test_an_agent_without_any_cloud_keeps_running_and_spooling(
    environment, gateway, publish, server, tmp_path
):
    publish(1)
    log = tmp_path / "agent.log"
    with running_agent(environment, log):
        wait_until(serves(gateway, "magika@1"), "release 1 serves")
    server.faults.status = 503
    away = {**environment, "PACKHORSE_REPORT_URL": "http://127.0.0.1:1"}
    with running_agent(away, log) as process:
        wait_until(lambda: "poll_failed" in log.read_text(), "a poll fails")
        assert process.poll() is None
        assert gateway.infer(1, 2, 3)[1] == "magika@1"


def test_a_notice_wakes_an_agent_long_before_its_next_poll(
    environment, gateway, publish, tmp_path
):
    with running_mosquitto(tmp_path) as broker:
        patient = {**environment, **notices_of(broker)}
        log = tmp_path / "agent.log"
        with running_agent(patient, log), publishing(broker) as notify:
            wait_until(lambda: "poll_refused" in log.read_text(), "the first poll")
            publish(1)
            notify(notice_topic(0, "magika"), retain=True)
            # One that the broker kept, for want of a listener, is followed within a
            # minute; the next poll would come in an hour.
            wait_until(serves(gateway, "magika@1"), "release 1 serves", most_s=90.0)


def test_a_flood_of_forged_notices_costs_a_few_polls(
    environment, gateway, publish, server, tmp_path
):
    publish(1)
    log = tmp_path / "agent.log"
    with running_mosquitto(tmp_path) as broker:
        flooded = {**environment, **notices_of(broker)}
        with running_agent(flooded, log), publishing(broker) as notify:
            wait_until(serves(gateway, "magika@1"), "release 1 serves")
            server.requests.clear()
            until_s = time.monotonic() + 3
            while time.monotonic() < until_s:
                notify(notice_topic(0, "magika"))

    polls = [path for path, _ in server.requests if path.endswith("/timestamp.json")]
    assert 1 <= len(polls) <= NOTICES_AT_ONCE + 1


def test_an_agent_tells_systemd_of_its_life(
    environment, gateway, publish, tmp_path, receiver
):
    publish(1)
    with NotifySocket(tmp_path) as manager:
        told = {**environment, **manager.environment(watchdog_s=60)}
        with running_agent(told, tmp_path / "agent.log") as process:
            wait_until(lambda: manager.has("READY=1"), "it is ready")
            wait_until(
                lambda: manager.status() == "magika@1 serves; nothing is under way",
                "it says what it did",
            )
            assert manager.has("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        assert manager.has("STOPPING=1")
