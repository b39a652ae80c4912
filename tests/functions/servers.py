"""Servers that the functions' tests start: PostgreSQL, identity, Pub/Sub."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
import warnings
from pathlib import Path

import psycopg
import pytest
from google.cloud import pubsub_v1

POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
START_TIMEOUT_S = 30


class Postgres:
    """A private cluster; it refuses to run as root, so root lends it a user."""

    def __init__(self, port):
        self.port = port
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="packhorse-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-A", "trust", "-U", "packhorse", "--no-sync")
        self.start()

    def start(self):
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "-w", "-o", options, "-l", f"{self._folder}/log", "start")

    def stop(self):
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def remove(self):
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self):
        name = f"t{uuid.uuid4().hex}"
        server = f"host=127.0.0.1 port={self.port} user=packhorse dbname=postgres"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://packhorse@127.0.0.1:{self.port}/{name}"

    def _run(self, program, *arguments):
        command = [POSTGRESQL[-1] / program, "-D", self._folder / "data", *arguments]
        subprocess.run(
            command,
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


class StandIn:
    """One of local_cloud's servers, on a port that it chose itself."""

    def __init__(self, module, folder, *flags):
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", "0", "--data", folder, *flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        self.port = json.loads(line)["port"]
        self.host = f"127.0.0.1:{self.port}"

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Identity(StandIn):
    """Signs the tokens of whoever is named."""

    @property
    def url(self):
        return f"http://{self.host}"

    def token(self, audience, email):
        query = urllib.parse.urlencode({"audience": audience, "email": email})
        with urllib.request.urlopen(f"{self.url}/token?{query}", timeout=5) as reply:
            return reply.read().decode()


class Topics:
    """The topics of a project of its own, each with one subscription to read."""

    def __init__(self, project, names):
        self._publisher = pubsub_v1.PublisherClient()
        self._subscriber = pubsub_v1.SubscriberClient()
        self._project = project
        for name in names:
            self.create(name)

    def create(self, name):
        topic = self._publisher.topic_path(self._project, name)
        self._publisher.create_topic(name=topic)
        self._subscriber.create_subscription(name=self._path(name), topic=topic)

    def delete(self, name):
        self._subscriber.delete_subscription(subscription=self._path(name))
        self._publisher.delete_topic(
            topic=self._publisher.topic_path(self._project, name)
        )

    def read(self, name):
        """Return the bodies of what was published, without waiting for more."""
        with warnings.catch_warnings():
            # It costs throughput, which no test needs.
            warnings.filterwarnings("ignore", message="The return_immediately flag")
            reply = self._subscriber.pull(
                subscription=self._path(name),
                max_messages=100,
                return_immediately=True,
                timeout=5,
            )
        ids = [received.ack_id for received in reply.received_messages]
        if ids:
            self._subscriber.acknowledge(subscription=self._path(name), ack_ids=ids)
        return [received.message.data for received in reply.received_messages]

    def read_json(self, name):
        return [json.loads(body) for body in self.read(name)]

    def close(self):
        self._publisher.stop()
        self._publisher.transport.close()
        self._subscriber.close()

    def _path(self, name):
        return self._subscriber.subscription_path(self._project, name)


def wait_until(holds, timeout_s=START_TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s in vain")
        time.sleep(0.02)
