"""The agent's loop: look, act, wait; start again at whatever was left undone.

Serving never depends on it. The cloud may be away for as long as it likes, and
the agent may be killed at any point: what counts is on the disk. `except
Exception` stands here and nowhere else in the agent, so that one surprise does
not end it.
"""

import fcntl
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edge_runtime import durable
from edge_runtime.agent.agent import Agent
from edge_runtime.agent.enroll import Identity, load_identity
from edge_runtime.agent.errors import AgentError, UnavailableError
from edge_runtime.agent.notices import Notices
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.report import Spool
from edge_runtime.agent.stages import Tools
from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.trust import ROOT_MAX_BYTES, Trust
from edge_runtime.agent.web import Web
from edge_runtime.agent_settings import AgentSettings
from edge_runtime.log import log
from edge_runtime.slots import open_slots

GAP_S = 1.0
"""Least time between two looks, whatever notices say."""

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 300.0
JITTER = 0.2
"""Polls are spread by so much of their time, so that a fleet does not march."""


def main(settings: AgentSettings) -> int:
    """Run the agent until a SIGTERM or SIGINT ends it.

    Raises:
        AgentError: Another agent works on the same state directory.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    with _alone(settings.state_dir):
        identity = load_identity(settings.state_dir, settings.device)
        spool = Spool(
            settings.state_dir / "spool", device=settings.device, sign=identity.sign
        )
        # Notices come to the ring in which the cloud counts this device.
        settings = replace(settings, ring=identity.place(settings.ring).ring)
        agent = build_agent(settings, identity, spool)
        notices = Notices(settings, agent.woken.set)
        notices.start()
        sender = threading.Thread(
            target=_send_forever, args=(spool, settings, agent.reported), daemon=True
        )
        sender.start()
        log("agent_started", device=settings.device, ring=settings.ring)
        try:
            _run_forever(agent, settings.poll_s)
        finally:
            notices.stop()
            log("agent_ended", device=settings.device)


def build_agent(settings: AgentSettings, identity: Identity, spool: Spool) -> Agent:
    """Put an agent together from its settings."""
    web = Web()
    with settings.root_file.open("rb") as file:
        root = file.read(ROOT_MAX_BYTES)
    tools = Tools(
        slots=open_slots(settings.state_dir),
        downloads=Downloads(
            settings.state_dir / "downloads", settings.repository_url, web
        ),
        supervisor=Supervisor(settings.state_dir),
    )
    trust = Trust(settings.state_dir, settings.repository_url, root, web)
    return Agent(settings, trust=trust, tools=tools, spool=spool, identity=identity)


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, without jitter."""
    return min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(failures, 16))


def _run_forever(agent: Agent, poll_s: float) -> NoReturn:
    failures = 0
    while True:
        is_done = _step(agent)
        failures = 0 if is_done else failures + 1
        wait_s = poll_s if is_done else min(poll_s, backoff_s(failures))
        time.sleep(GAP_S)
        agent.woken.wait(max(0.0, _spread(wait_s) - GAP_S))


def _step(agent: Agent) -> bool:
    try:
        return agent.step()
    except Exception as error:  # noqa: BLE001 - the agent's last handler
        log("step_failed", kind=type(error).__name__, reason=str(error))
        return False


def _send_forever(
    spool: Spool, settings: AgentSettings, reported: threading.Event
) -> NoReturn:
    """Send reports as they come; keep them while the cloud is away."""
    web = Web()
    failures = 0
    while True:
        reported.clear()
        try:
            sent = spool.send(web, settings.report_url)
        except (UnavailableError, OSError) as error:
            failures += 1
            log("report_failed", reason=str(error), waiting=len(spool.waiting()))
            time.sleep(_spread(min(settings.poll_s, backoff_s(failures))))
            continue
        failures = 0
        if sent:
            log("report_done", count=sent)
        reported.wait(settings.poll_s)


def _spread(wait_s: float) -> float:
    """Return `wait_s` give or take the jitter."""
    return wait_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this agent; the lock ends with the process.

    Raises:
        AgentError: Another agent holds it.
    """
    durable.make_dir(state_dir / "agent")
    path = state_dir / "agent" / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AgentError(f"another agent works in {state_dir}") from error
    finally:
        os.close(descriptor)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once; everything that counts is on the disk."""
    raise SystemExit(0)
