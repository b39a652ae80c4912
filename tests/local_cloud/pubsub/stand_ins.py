"""What the Pub/Sub tests stand on: servers as processes, and a push endpoint."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local_cloud.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 30.0
POLL_S = 0.02
JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"
CLOUD_SDKS = (Path("/usr/lib/google-cloud-sdk"), Path("/usr/share/google-cloud-sdk"))


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(POLL_S)
    return value


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class StandIn:
    """One `python -m local_cloud.<module>` process; its output goes to `log`."""

    module: str
    words: list[str]
    data: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def log(self):
        return self.data / f"{self.module}.log"

    def start(self):
        self.data.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", f"local_cloud.{self.module}"),
            *("--port", str(self.port), "--data", str(self.data), *self.words),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        wait_for(self._is_up, f"{self.module} to listen")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0

    def events(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def _is_up(self):
        assert self.process.poll() is None, self.log.read_text()
        return listens(self.port)


@contextlib.contextmanager
def running(stand_in):
    try:
        yield stand_in.start()
    finally:
        stand_in.stop()


def emulator_jar():
    """Return Google's own emulator; None where gcloud does not hold it."""
    return next((sdk / JAR for sdk in CLOUD_SDKS if (sdk / JAR).exists()), None)


@contextlib.contextmanager
def google_emulator():
    """Run Google's own emulator; it writes without end, so its output is dropped."""
    jar = emulator_jar()
    port = free_port()
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"]
    process = subprocess.Popen(
        [*java, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: listens(port), "Google's emulator to listen")
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Post:
    headers: dict[str, str]
    body: dict
    at: float = field(default_factory=time.monotonic)


class Endpoint:
    """A push endpoint: answers with `statuses` in turn, then with the last one."""

    def __init__(self, *statuses, port=0):
        self.posts: list[Post] = []
        self.statuses = list(statuses) or [204]
        self.may_answer = threading.Event()
        self.may_answer.set()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                self.send_response(endpoint.take(self.headers, self.rfile.read(length)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/push"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,)
        )
        self._thread.start()

    def take(self, headers, body):
        self.posts.append(Post(dict(headers.items()), json.loads(body)))
        self.may_answer.wait(DEADLINE_S)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def wait_for_posts(self, count):
        return wait_for(
            lambda: len(self.posts) >= count and self.posts, f"{count} posts"
        )

    def stop(self):
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
