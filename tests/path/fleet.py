"""A stack with gateways, and what the path tests do to it and ask it."""

import contextlib
import io
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import requests
from google.api_core.exceptions import DeadlineExceeded
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from local_cloud.stack.settings import BUNDLE_BUCKET, PROJECT
from local_cloud.stack.stack import Stack
from tests.models import FEATURES, tiny_answer, tiny_golden, tiny_model

MODEL = "tiny"
ARRIVAL_TIMEOUT_S = 90.0
POLL_S = 0.05
ROWS = np.random.default_rng(3).normal(size=(16, FEATURES)).astype(np.float32)


class NotSoError(AssertionError):
    """Something did not become so in time."""


def wait_until(is_so, what, timeout_s=ARRIVAL_TIMEOUT_S):
    until = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > until:
            raise NotSoError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S)


@dataclass
class Fleet:
    """All of Packhorse, seen by an engineer, an operator and an application."""

    stack: Stack
    folder: Path
    numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    # the engineer

    def push(self, version, model=None, golden=None):
        """Run `packhorse push` for a version of the tiny model."""
        good = tiny_model(version)
        model_file, golden_file = self.folder / "m.onnx", self.folder / "g.npz"
        model_file.write_bytes(model or good)
        samples = golden or tiny_golden(good)
        out = io.BytesIO()
        arrays = {f"input.{n}": a for n, a in samples.inputs.items()}
        arrays |= {f"output.{n}": a for n, a in samples.outputs.items()}
        np.savez(out, **arrays)
        golden_file.write_bytes(out.getvalue())
        return self.stack.packhorse(
            *("push", str(model_file), "--name", MODEL, "--golden", str(golden_file)),
            *("--version", str(version), "--json"),
        )

    def release(self, version, model=None, golden=None):
        """Push a version and wait until it is settled one way or the other."""
        done = self.push(version, model, golden)
        assert done.returncode == 0, done.stderr
        return self.settled(version)

    def settled(self, version, timeout_s=ARRIVAL_TIMEOUT_S):
        """Wait for the release's end; return its last change."""
        ends = ("rollout finished", "rollout withdrawn")
        found = []

        def is_over():
            found[:] = [
                what
                for what in self.history(version)
                if what == "refused" or what.startswith(ends)
            ]
            return bool(found)

        wait_until(is_over, f"{MODEL}@{version} settles", timeout_s)
        return found[-1]

    # the operator

    def operate(self, path):
        return self.stack.operate("GET", path)

    def history(self, version):
        # While a function is away, the operator asks again; so do we.
        with contextlib.suppress(requests.RequestException):
            document = self.operate(f"releases/{MODEL}@{version}")
            return [change["what"] for change in document["history"]]
        return []

    def record(self):
        return self.operate(f"rollouts/{MODEL}")

    def stable(self):
        offer = self.record()["stable"]
        return offer["release"] if offer else None

    def refusals(self):
        return {r["subject"]: r["reason"] for r in self.operate("status")["refusals"]}

    # the application

    def url(self, place):
        path = f"/v2/models/{MODEL}/infer"
        if place == "cloud":
            return self.stack.plan.url("predict") + path
        return self.stack.gateways[place].url + path

    def ask(self, place, row=0, session=None):
        """Ask once; return the release that gave a right answer, else what came."""
        try:
            reply = (session or requests).post(
                self.url(place), json=_request(ROWS[row]), timeout=10
            )
        except requests.RequestException as error:
            return f"{type(error).__name__}"
        release = reply.headers.get("X-Packhorse-Release", "")
        if reply.status_code != 200 or not release.startswith(f"{MODEL}@"):
            return f"{reply.status_code} {release} {reply.text[:200]}"
        answer = reply.json()["outputs"][0]["data"]
        version = int(release.partition("@")[2])
        if not np.allclose(answer, tiny_answer(ROWS[row], version), atol=1e-4):
            return f"a wrong answer from {release}"
        return release

    def places(self):
        return ["cloud", *self.stack.gateways]

    def all_answer(self, version, places=None, timeout_s=ARRIVAL_TIMEOUT_S):
        """Wait until every place answers with the version."""
        release = f"{MODEL}@{version}"
        for place in places or self.places():
            wait_until(
                lambda place=place: self.ask(place) == release,
                f"{place} answers with {release}, not {self.ask(place)}",
                timeout_s,
            )

    @contextlib.contextmanager
    def traffic(self, places=None, *, pause_s=0.01):
        """Ask all places all the time; give the answers counted by place."""
        answers = {place: Counter() for place in places or self.places()}
        ended = threading.Event()

        def ask_forever(place):
            with requests.Session() as session:
                session.trust_env = False
                for turn in itertools.count():
                    if ended.wait(pause_s):
                        return
                    answers[place][self.ask(place, turn % len(ROWS), session)] += 1

        threads = [threading.Thread(target=ask_forever, args=[p]) for p in answers]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    # the platform

    def notify(self, body):
        """Publish on the topic `gcr`, as the registry would."""
        with _publisher(self.stack.plan.port("pubsub")) as publisher:
            topic = f"projects/{PROJECT}/topics/gcr"
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            publisher.publish(topic, raw).result(timeout=20)

    def objects(self, prefix):
        client = storage.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.stack.plan.url("storage")},
        )
        return [blob.name for blob in client.list_blobs(BUNDLE_BUCKET, prefix=prefix)]

    def vertex(self, path):
        """Read one resource of Vertex AI."""
        plan = self.stack.plan
        url = f"{plan.url('vertex')}/v1/{plan.parent}/{path}"
        reply = requests.get(url, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def model_versions(self, release):
        """Count the versions in the Model Registry that hold the release."""
        label = release.replace("@", "-")
        found = self.vertex(f"models/{MODEL}:listVersions")["models"]
        return [m["labels"]["packhorse_release"] for m in found].count(label)

    def deployed(self, endpoint):
        """Return, by release, the traffic of each deployed model on an endpoint."""
        shown = self.vertex(f"endpoints/{endpoint}")
        found = {}
        for model in shown["deployedModels"]:
            share = shown["trafficSplit"].get(model["id"], 0)
            found.setdefault(model["displayName"], []).append(share)
        return found

    def dead_letters(self):
        """Return the bodies that Pub/Sub gave up on."""
        with grpc.insecure_channel(f"127.0.0.1:{self.stack.plan.port('pubsub')}") as c:
            client = pubsub_v1.SubscriberClient(
                transport=SubscriberGrpcTransport(channel=c)
            )
            name = f"projects/{PROJECT}/subscriptions/dead-letters"
            try:
                reply = client.pull(
                    subscription=name, max_messages=10, timeout=2, retry=None
                )
            except DeadlineExceeded:
                return []
            return [message.message.data for message in reply.received_messages]

    def agent_events(self, device):
        """Return (event, release) of every line that the agent logged."""
        log = self.stack.gateways[device].agent.log
        lines = [
            json.loads(line)
            for line in log.read_text(errors="replace").splitlines()
            if line.startswith("{")
        ]
        return [(line["event"], line.get("release")) for line in lines]


def _request(row):
    return {
        "inputs": [
            {
                "name": "x",
                "shape": [1, FEATURES],
                "datatype": "FP32",
                "data": row.tolist(),
            }
        ]
    }


@contextlib.contextmanager
def _publisher(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        publisher = pubsub_v1.PublisherClient(
            transport=PublisherGrpcTransport(channel=channel)
        )
        yield publisher
        publisher.stop()
