"""All of Packhorse on this machine: the stand-ins, the functions, the gateways.

Everything listens on loopback and lies under one folder. Whatever ends by
itself, or is killed, is started again, as it would be where it is deployed.
"""

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from local_cloud.stack import deployment
from local_cloud.stack.processes import (
    Command,
    Process,
    StartError,
    answers_tcp,
    inherited_environment,
)
from local_cloud.stack.settings import (
    OPERATOR,
    ROOT,
    Plan,
    function_environment,
    gateway_environment,
    google_environment,
    load_functions,
    operator_environment,
)
from local_cloud.stack.stand_ins import (
    account_of,
    place_arguments,
    stand_in_arguments,
)

_CALL_TIMEOUT_S = 30.0
_COMMAND_TIMEOUT_S = 120.0
_PROBE_TIMEOUT_S = 2.0
_STOP_WORKERS = 16
OnStart = Callable[[str, float], None]


def _quiet(name: str, took_s: float) -> None:
    """Tell nobody that a process started."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway of the stack: a server and an agent."""

    device: str
    ring: int
    url: str
    server: Process
    agent: Process


@dataclass
class Stack:
    """All of Packhorse on this machine.

    Attributes:
        cloud: The stand-ins and the functions, by name.
        gateways: The gateways, by device.
    """

    plan: Plan
    cloud: dict[str, Process] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Return the stack; `start` starts it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave no process behind."""
        self.close()

    def start(self, on_start: OnStart = _quiet) -> None:
        """Start the cloud; return when all of it answers.

        Raises:
            StartError: Something did not; the message shows the end of its log.
        """
        for name, words in stand_in_arguments(self.plan).items():
            environment = google_environment(self.plan, account_of(name))
            self.cloud[name] = self._process(name, words, environment)
        self._start_all(self.cloud.values(), on_start)
        self._deploy()
        functions = load_functions()
        for name, function in functions.items():
            environment = function_environment(self.plan, name, function)
            words = ["functions-framework", "--source", "main.py", "--target", name]
            words += ["--host", "127.0.0.1", "--port", str(self.plan.port(name))]
            self.cloud[name] = self._process(
                name, [str(_bin(words[0])), *words[1:]], environment, is_http=True
            )
        started = [self.cloud[name] for name in functions]
        self._start_all(started, on_start)

    def add_gateway(self, device: str, ring: int) -> Gateway:
        """Invite a device, and make the gateway that will enrol with the token."""
        token = self.operate("POST", "devices", {"device": device, "ring": ring})
        environment = gateway_environment(self.plan, device, ring, str(token["token"]))
        program = str(self.plan.gateway_venv / "bin" / "edge-runtime")
        gateway = Gateway(
            device=device,
            ring=ring,
            url=self.plan.url(device),
            server=self._process(device, [program, "serve"], environment, is_http=True),
            agent=Process(
                name=f"{device}-agent",
                command=Command([program, "agent"], environment, lambda: True, ROOT),
                log=self._log(f"{device}-agent"),
            ),
        )
        self.gateways[device] = gateway
        return gateway

    def start_gateways(self, on_start: OnStart = _quiet) -> None:
        """Start every gateway that does not run yet."""
        for device in self.gateways:
            self.start_gateway(device, on_start)

    def start_gateway(self, device: str, on_start: OnStart = _quiet) -> None:
        """Start one gateway, unless it runs."""
        gateway = self.gateways[device]
        self._start_all([gateway.server, gateway.agent], on_start)

    def stop_cloud(self) -> None:
        """Stop all but the gateways."""
        _stop_all(self.cloud.values())

    def restart_cloud(self) -> None:
        """Start again what `stop_cloud` stopped."""
        names = stand_in_arguments(self.plan)
        self._start_all([self.cloud[name] for name in names], _quiet)
        rest = [process for name, process in self.cloud.items() if name not in names]
        self._start_all(rest, _quiet)

    def close(self) -> None:
        """Stop everything, the gateways first."""
        gateways = list(self.gateways.values())
        _stop_all([process for g in gateways for process in (g.agent, g.server)])
        self.stop_cloud()

    def process(self, name: str) -> Process:
        """Return a process of the cloud or of a gateway by its name."""
        for gateway in self.gateways.values():
            for process in (gateway.server, gateway.agent):
                if process.name == name:
                    return process
        return self.cloud[name]

    def process_names(self) -> list[str]:
        """Return the name of every process, the cloud's first."""
        gateways = [
            process.name
            for gateway in self.gateways.values()
            for process in (gateway.server, gateway.agent)
        ]
        return [*self.cloud, *gateways]

    def packhorse(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the operator's command against this stack."""
        environment = {**inherited_environment(), **self.operator_environment()}
        return subprocess.run(  # noqa: S603 - our own command
            [str(_bin("packhorse")), *words],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )

    def operator_environment(self) -> dict[str, str]:
        """Return the variables that lead `packhorse` to this stack."""
        return operator_environment(self.plan)

    def operate(
        self, method: str, path: str, body: dict[str, object] | None = None
    ) -> dict[str, object]:
        """Call the function `operate` as an operator."""
        url = self.plan.url("operate")
        token = requests.get(
            f"{self.plan.url('identity')}/token",
            params={"audience": url, "email": OPERATOR},
            timeout=_CALL_TIMEOUT_S,
        )
        reply = requests.request(
            method,
            f"{url}/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token.text.strip()}"},
            timeout=_CALL_TIMEOUT_S,
        )
        reply.raise_for_status()
        document: dict[str, object] = reply.json()
        return document

    def _process(
        self,
        name: str,
        words: list[str],
        environment: dict[str, str],
        *,
        is_http: bool = False,
    ) -> Process:
        port = self.plan.port(name)
        is_ready = _answers_http(port) if is_http else answers_tcp(port)
        if name in stand_in_arguments(self.plan):
            words = [
                *(sys.executable, "-m", f"local_cloud.{name}"),
                *place_arguments(name, port, self.plan.data(name)),
                *words,
            ]
            environment = {**inherited_environment(), **environment}
            if name == "scheduler":
                is_ready = _always
        return Process(
            name, Command(words, environment, is_ready, ROOT), self._log(name)
        )

    def _log(self, name: str) -> Path:
        return self.plan.folder / "logs" / f"{name}.log"

    def _start_all(self, processes: Iterable[Process], on_start: OnStart) -> None:
        begun = time.monotonic()
        waiting = list(processes)
        for process in waiting:
            process.start()
        for process in waiting:
            process.wait_ready()
            on_start(process.name, time.monotonic() - begun)

    def _deploy(self) -> None:
        """Make keys, upload the first metadata, make topics and subscriptions."""
        keys, repository = self.plan.folder / "keys", self.plan.folder / "repository"
        if not (repository / "timestamp.json").exists():
            shutil.rmtree(keys, ignore_errors=True)
            shutil.rmtree(repository, ignore_errors=True)
            models = [word for model in self.plan.models for word in ("--model", model)]
            done = self.packhorse(
                *("keys", "init", "--directory", str(keys)),
                *("--repository-out", str(repository), *models),
            )
            if done.returncode:
                raise StartError(f"packhorse keys init ({done.stderr})", keys)
        deployment.upload_repository(self.plan, repository)
        deployment.create_topics(self.plan, load_functions())


def _stop_all(processes: Iterable[Process]) -> None:
    with ThreadPoolExecutor(_STOP_WORKERS) as pool:
        list(pool.map(Process.stop, processes))


def _bin(program: str) -> Path:
    """Return a program of the environment that runs this."""
    return Path(sys.prefix) / "bin" / program


def _always() -> bool:
    return True


def _answers_http(port: int) -> Callable[[], bool]:
    """Return a check that a server at `port` answers HTTP, whatever it says."""

    def check() -> bool:
        url = f"http://127.0.0.1:{port}/"
        with suppress(OSError):
            try:
                urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S).close()
            except urllib.error.HTTPError as error:
                error.close()
            return True
        return False

    return check
