"""What the registry's tests stand on: a topic, and registries as processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import requests
from google.pubsub_v1.types import PublishRequest, PublishResponse

from local_cloud.ports import free_port

PROJECT = "packhorse-demo"
HOST = "europe-west4-docker.pkg.dev"
DEADLINE_S = 30.0


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.02)
    return value


class Topic:
    """A gRPC server that knows `Publish` only, remembers, and fails on request."""

    def __init__(self):
        self.port = free_port()
        self.published: list[tuple[str, bytes]] = []
        self.failure: grpc.StatusCode | None = None
        self._server: grpc.Server | None = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(
            self._publish,
            request_deserializer=PublishRequest.deserialize,
            response_serializer=PublishResponse.serialize,
        )
        methods = grpc.method_handlers_generic_handler(
            "google.pubsub.v1.Publisher", {"Publish": handler}
        )
        self._server.add_generic_rpc_handlers((methods,))
        assert self._server.add_insecure_port(self.address) == self.port
        self._server.start()

    def stop(self):
        if self._server is not None:
            self._server.stop(None).wait()

    def bodies(self, word):
        return [body for _, body in self.published if word.encode() in body]

    def wait_for_bodies(self, word, count):
        wait_for(lambda: len(self.bodies(word)) >= count, f"{count} notices on {word}")
        return self.bodies(word)

    def _publish(self, request, context):
        if self.failure is not None:
            context.abort(self.failure, "on request")
        self.published += [(request.topic, m.data) for m in request.messages]
        return PublishResponse(
            message_ids=[str(n) for n in range(len(request.messages))]
        )


@dataclass
class Server:
    """A server in a process of its own, that answers `GET` at its URL."""

    command: list[str]
    port: int
    path: str = "/v2/"
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.host}"

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=os.environ | self.environment, stdout=subprocess.DEVNULL
        )
        wait_for(self._answers, f"an answer from {self.command}")

    def kill(self):
        self._stop(signal.SIGKILL)

    def stop(self):
        return self._stop(signal.SIGTERM)

    def _stop(self, number):
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(timeout=DEADLINE_S)

    def _answers(self):
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command} ended by itself"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self.url + self.path, timeout=5).status_code < 500
        return False


def our_registry(data, topic, *options):
    port = free_port()
    command = [sys.executable, "-m", "local_cloud.registry", "--port", str(port)]
    command += ["--data", str(data), "--project", PROJECT, "--location-host", HOST]
    environment = {"PUBSUB_EMULATOR_HOST": topic.address}
    return Server([*command, *options], port, environment=environment)


def webhook(topic):
    port = free_port()
    command = [sys.executable, "-m", "local_cloud.registry_webhook"]
    command += ["--port", str(port), "--project", PROJECT, "--location-host", HOST]
    return Server(command, port, "/", {"PUBSUB_EMULATOR_HOST": topic.address})


def debian_registry(data: Path, hook: Server):
    port = free_port()
    data.mkdir(parents=True, exist_ok=True)
    config = data / "config.yml"
    config.write_text(f"""
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {data}/content}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
notifications:
  endpoints:
    - {{name: gcr, url: "{hook.url}/", timeout: 5s, threshold: 3, backoff: 200ms}}
""")
    return Server(["docker-registry", "serve", str(config)], port)


@contextlib.contextmanager
def running(*servers):
    """Start servers at the same time, and stop all of them in the end."""
    try:
        with ThreadPoolExecutor(len(servers)) as threads:
            list(threads.map(lambda server: server.start(), servers))
        yield
    finally:
        for server in servers:
            server.stop()
