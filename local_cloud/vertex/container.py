"""One serving container: a process, its health, and the way to its predict route.

Source: Vertex AI, "Custom container requirements for inference"
"""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import urllib3

from local_cloud.ports import free_port
from local_cloud.vertex.environment import ContainerSpec, container_environment

HOST = "127.0.0.1"
STARTUP_PERIOD_S = 0.1
"""How often a container that never was healthy is asked."""
RESTART_PAUSE_S = 1.0
CONNECTIONS = 256
"""Kept to one container: above what a client opens, so that none is thrown away."""
_LOG_TAIL_BYTES = 2000
_TETHER = Path(__file__).with_name("tether.py")

_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
"""Starts every process. The kernel ties a child to the thread that made it, and
this one lives as long as the stand-in."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a container is looked after.

    Attributes:
        health_timeout_s: A health answer that takes longer is a failure.
        health_period_s: Time between two looks at a container that was healthy.
        failures_allowed: So many failures in a row stop its traffic.
        predict_timeout_s: A prediction on a shared endpoint that takes longer is
            given up, and requests in flight at the stop get so long.
    """

    health_timeout_s: float = 10.0
    health_period_s: float = 10.0
    failures_allowed: int = 4
    predict_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Launch:
    """What every container of this stand-in is started with."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    watch: Watch = Watch()


class Container:
    """A serving container that is kept running until `stop`."""

    def __init__(self, spec: ContainerSpec, launch: Launch) -> None:
        """Start the process and watch it from a thread."""
        self.spec = spec
        self._launch = launch
        self._stopping = threading.Event()
        self._busy = threading.Condition()
        self._in_flight = 0
        self._is_healthy = False
        self.exits = 0
        self._port = free_port()
        name = f"{spec.endpoint.rsplit('/', 1)[1]}-{spec.deployed_id}"
        self._place = launch.directory / f"{name}-{self._port}"
        self.log_path = launch.directory / f"{name}.log"
        self._pool = self._open_pool()
        self._process = _SPAWNER.submit(self._spawn).result()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    @property
    def is_healthy(self) -> bool:
        """Whether it may get traffic."""
        return self._is_healthy

    def log_tail(self) -> str:
        """Return the last line it printed, or ""."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as log:
            log.seek(max(0, self.log_path.stat().st_size - _LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def predict(
        self, body: bytes, content_type: str, *, timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        """Post `body` to the predict route.

        Raises:
            urllib3.exceptions.ReadTimeoutError: No answer within the limit.
            urllib3.exceptions.HTTPError: No answer at all.
        """
        return self._pool.request(
            "POST",
            self.spec.predict_route,
            body=body,
            headers={"Content-Type": content_type, "Accept-Encoding": "identity"},
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(total=timeout_s),
        )

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[bool]:
        """Hold the container for one request; False when it is being stopped."""
        with self._busy:
            is_there = not self._stopping.is_set()
            self._in_flight += is_there
        try:
            yield is_there
        finally:
            with self._busy:
                self._in_flight -= is_there
                self._busy.notify_all()

    def stop(self) -> None:
        """Let the requests in flight end, then end the process as Google does."""
        with self._busy:
            self._stopping.set()
            timeout_s = self._launch.watch.predict_timeout_s
            self._busy.wait_for(lambda: self._in_flight == 0, timeout_s)
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        self._pool.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _open_pool(self) -> urllib3.HTTPConnectionPool:
        return urllib3.HTTPConnectionPool(HOST, self._port, maxsize=CONNECTIONS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process in an empty directory, as in a fresh container."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        own = {"HOME": str(self._place), **self._launch.environment}
        environment = container_environment(self.spec, self._port, own)
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  the operator's own command
                [*tether, *self._launch.command],
                cwd=self._place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _look_after(self) -> None:
        """Restart the process when it ends, and ask for its health."""
        failures = 0
        while not self._stopping.is_set():
            if self._process.poll() is not None:
                self._restart()
                continue
            if self._ask_for_health():
                failures, self._is_healthy = 0, True
            else:
                failures += 1
                self._is_healthy &= failures < self._launch.watch.failures_allowed
            watch = self._launch.watch
            period_s = watch.health_period_s if self._is_healthy else STARTUP_PERIOD_S
            self._wait(min(period_s, watch.health_period_s))

    def _wait(self, period_s: float) -> None:
        """Wait for the next look, but not while the process has ended."""
        until = time.monotonic() + period_s
        while time.monotonic() < until and self._process.poll() is None:
            if self._stopping.wait(min(STARTUP_PERIOD_S, period_s)):
                return

    def _restart(self) -> None:
        self._is_healthy = False
        self.exits += 1
        if not self._stopping.wait(RESTART_PAUSE_S):
            self._process = _SPAWNER.submit(self._spawn).result()

    def _ask_for_health(self) -> bool:
        """Return whether the health route answers exactly 200 in time."""
        timeout_s = self._launch.watch.health_timeout_s
        connection = http.client.HTTPConnection(HOST, self._port, timeout=timeout_s)
        try:
            connection.request("GET", self.spec.health_route)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
