"""The agent's loop: look, act, wait; start again at whatever was left undone.

Serving never depends on it. The cloud may be away for as long as it likes, and
the agent may be killed at any point: what counts is on the disk. `except
Exception` stands here and nowhere else in the agent, so that one surprise does
not end it.
"""

import signal
import threading
from dataclasses import replace
from types import FrameType
from typing import NoReturn

import urllib3

from edge_runtime.agent.agent import Agent
from edge_runtime.agent.archive import Archive
from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import AgentError
from edge_runtime.agent.identity.credentials import DeviceCredentials
from edge_runtime.agent.identity.enroll import Identity, load_identity
from edge_runtime.agent.identity.read_token import TokenDesk
from edge_runtime.agent.network.pace import Pace
from edge_runtime.agent.network.tls import TlsContext
from edge_runtime.agent.network.web import Credentials, NoCredentials, Web, open_pool
from edge_runtime.agent.notices import Notices
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.report import Spool
from edge_runtime.agent.schedule import backoff_s
from edge_runtime.agent.sender import send_forever
from edge_runtime.agent.site import Site
from edge_runtime.agent.stages import Tools
from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.trial.feed import LiveRequests
from edge_runtime.agent.trust.strict_updater import ROOT_MAX_BYTES
from edge_runtime.agent.trust.trust import Trust
from edge_runtime.alone import only_one
from edge_runtime.log import log
from edge_runtime.service_manager import ServiceManager
from edge_runtime.settings.agent_settings import AgentSettings
from edge_runtime.slots import open_slots

WAKE_S = 20.0
"""How often the site is asked again where it said "not now". That costs nothing
but a command of its own."""


def main(settings: AgentSettings, manager: ServiceManager) -> int:
    """Run the agent until a SIGTERM or SIGINT ends it, and tell `manager` how it goes.

    Raises:
        AgentError: Another agent works on the same state directory.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    # It would say so for each connection, in words for a developer; tls.py logs it.
    urllib3.disable_warnings(urllib3.exceptions.SystemTimeWarning)
    taken = AgentError(f"another agent works in {settings.state_dir}")
    with only_one(settings.state_dir, "agent/lock", taken):
        identity = load_identity(settings.state_dir, settings.device)
        spool = Spool(
            settings.state_dir / "spool", device=settings.device, sign=identity.sign
        )
        # Notices come to the ring in which the cloud counts this device.
        settings = replace(settings, ring=identity.place(settings.ring).ring)
        clock = Clock(settings.state_dir)
        tls = TlsContext(settings.ca_file, clock)
        agent = build_agent(settings, identity, spool, clock, tls=tls)
        notices = Notices(settings, agent.schedule.ring, clock)
        web = Web(pool=open_pool(tls))
        sender = threading.Thread(
            target=send_forever,
            args=(spool, settings, agent.reported, identity.hear, web),
            daemon=True,
        )
        log("agent_started", device=settings.device, ring=settings.ring)
        manager.ready("started")
        try:
            notices.start()
            sender.start()
            _run_forever(agent, manager, sender)
        finally:
            manager.stopping()
            notices.stop()
            log("agent_ended", device=settings.device)


def build_agent(
    settings: AgentSettings,
    identity: Identity,
    spool: Spool,
    clock: Clock | None = None,
    *,
    tls: TlsContext | None = None,
) -> Agent:
    """Put an agent together; `clock` and `tls` are the gateway's own if None."""
    clock = clock or Clock(settings.state_dir)
    tls = tls or TlsContext(settings.ca_file, clock)
    web = Web(_credentials(settings, identity, tls), open_pool(tls))
    with settings.root_file.open("rb") as file:
        root = file.read(ROOT_MAX_BYTES)
    trust = Trust(settings.state_dir, settings.repository_url, root, web, clock)
    tools = Tools(
        slots=open_slots(settings.state_dir),
        downloads=Downloads(
            settings.state_dir / "downloads",
            settings.repository_url,
            web,
            Pace(settings.download_bytes_per_s),
        ),
        archive=Archive(settings.state_dir / "archive", settings.archive_bytes),
        supervisor=Supervisor(settings.state_dir),
        site=Site(settings.state_dir, settings.site, clock),
        shadow=settings.shadow,
    )
    # An agent that was killed may have left some.
    LiveRequests(tools.supervisor).clear()
    return Agent(settings, trust=trust, tools=tools, spool=spool, identity=identity)


def _credentials(
    settings: AgentSettings, identity: Identity, tls: TlsContext
) -> Credentials:
    """Return what reads the bucket: a token, where the settings say who gives it."""
    if not settings.token_url:
        return NoCredentials()
    web = Web(pool=open_pool(tls))
    desk = TokenDesk(identity, model=settings.model, url=settings.token_url, web=web)
    return DeviceCredentials(desk, settings.repository_url)


def _run_forever(
    agent: Agent, manager: ServiceManager, sender: threading.Thread
) -> NoReturn:
    """Look and act, and say so, until this process is ended.

    Raises:
        AgentError: The thread that sends reports has ended.
    """
    agent.on_progress = manager.alive
    schedule = agent.schedule
    if agent.may_start_late():
        schedule.spread_start()
    failures = 0
    while True:
        is_done = _act(agent)
        failures = 0 if is_done or agent.is_waiting else failures + 1
        if failures:
            schedule.retry_in(backoff_s(failures))
        if not sender.is_alive():
            raise AgentError("the thread that sends reports has ended")
        manager.alive()
        manager.say(agent.sentence())
        # No longer than this: `carry_on` may go on, and systemd wants to hear of us.
        schedule.sleep(WAKE_S)


def _act(agent: Agent) -> bool:
    """Look if that is due, else go on with what waits; say whether all is done."""
    try:
        if agent.schedule.is_due():
            return agent.step()
        return agent.carry_on() if agent.is_waiting else True
    except Exception as error:  # noqa: BLE001 - the agent's last handler
        log("step_failed", kind=type(error).__name__, reason=str(error))
        return False


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once; everything that counts is on the disk."""
    raise SystemExit(0)
