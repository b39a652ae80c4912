"""A candidate endpoint that answers as a test says, and requests to shadow there."""

import asyncio
import contextlib
import json
import random
from datetime import UTC, datetime
from itertools import count

from functions.adapters.bearer_token import BearerToken
from functions.adapters.deployed_releases import DeployedReleases
from functions.adapters.topic import Topic
from functions.adapters.upstream.client import Answer, Upstream
from functions.prediction.candidates import ANSWER_MAX_BYTES, Candidates
from functions.prediction.comparing import Comparer
from functions.prediction.headers import Trace
from functions.prediction.shadow import Shadow
from functions.prediction.shadow_export import ShadowExport
from functions.prediction.shadow_run import Tools
from functions.prediction.shadow_sums import ShadowSums
from functions.prediction.wakefulness import Wakefulness
from functions.prediction.whose import Whose
from functions.setting_values import EndpointSettings, PredictedModel
from tests.functions.adapters.raw_upstream import RawUpstream, read_request

CANDIDATE = "projects/p/locations/l/endpoints/1"
SERVING = "projects/p/locations/l/endpoints/2"
DEPLOYED_ID = "X-Vertex-AI-Deployed-Model-Id"
WAIT_S = 20.0
ASKED = Whose("r-1", Trace("4bf92f3577b34da6a3ce929d0e0e4736"))


def predictions(*rows):
    return json.dumps({"predictions": rows}).encode()


def live(body=None, status=200):
    answer = predictions([0.1, 0.9]) if body is None else body
    return Answer(status, {"content-type": "application/json"}, answer)


class Endpoint:
    """Answers as its attributes say; runs in threads beside the loop.

    Attributes:
        answer: What `rawPredict` answers: status, deployed model's id, body; or
            something to call in its place, with the socket.
        deployed: Release by the deployed model's id.
        asked: The heads and bodies that came.
        published: Bodies that came to Pub/Sub.
        pubsub_status: What Pub/Sub answers.
        pubsub_stalls: Pub/Sub answers once this is set; None for at once.
    """

    def __init__(self):
        self.answer = (200, "7", predictions([0.1, 0.9]))
        self.deployed = {"7": "magika@2"}
        self.asked = []
        self.published = []
        self.pubsub_status = 200
        self.pubsub_stalls = None
        self._server = RawUpstream(self._serve)
        self.origin = self._server.origin
        self.url = f"http://127.0.0.1:{self._server.port}"

    def _serve(self, connection, _number):
        while True:
            head, body = read_request(connection)
            if not head:
                return
            if b":publish" in head:
                self.published.append((head, body))
                if self.pubsub_stalls is not None:
                    self.pubsub_stalls.wait(WAIT_S)
                send(connection, self.pubsub_status, b"{}")
            elif head.startswith(b"GET"):
                send(connection, 200, self._description())
            else:
                self.asked.append((head, body))
                if callable(self.answer):
                    self.answer(connection)
                else:
                    status, deployed_id, answer = self.answer
                    send(connection, status, answer, deployed_id)

    def _description(self):
        models = [{"id": i, "displayName": r} for i, r in self.deployed.items()]
        return json.dumps({"deployedModels": models}).encode()

    def __enter__(self):
        return self

    def __exit__(self, *parts):
        self._server.__exit__(*parts)


def send(connection, status, body, deployed_id=""):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines.append("Content-Type: application/json")
    if deployed_id:
        lines.append(f"{DEPLOYED_ID}: {deployed_id}")
    with contextlib.suppress(OSError):  # who asked may be gone
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


class Play:
    """One shadow with everything real around it, and what it wrote."""

    def __init__(self, endpoint, upstream, *, share=1.0, tolerances=None, every_s=0.0):
        self.loop = asyncio.get_running_loop()
        self.lines = []
        self.endpoint = endpoint
        token = BearerToken()
        releases = DeployedReleases(upstream, token, endpoint.origin)
        ids = count()
        self.sums = ShadowSums(lambda: datetime.now(UTC), lambda: f"{next(ids):032x}")
        topic = Topic(upstream, token, endpoint.origin, "projects/p/topics/shadows")
        self.wakefulness = Wakefulness()
        self.tools = Tools(
            Candidates(upstream, token, releases),
            Comparer(tolerances or {}),
            self.wakefulness,
        )
        note = lambda event, fields: self.lines.append((event, fields))  # noqa: E731
        self.shadow = Shadow(
            self.tools,
            self.sums,
            ShadowExport(self.sums, topic, note, every_s=every_s),
            note,
            draw=random.Random(1).random,
        )
        self.model = predicted(endpoint.url, share)

    def begin(self, body=b'{"instances": [1]}', **changes):
        options = {"deadline": self.loop.time() + WAIT_S, "whose": ASKED, **changes}
        return self.shadow.begin(self.model, body, "application/json", **options)

    async def one(self, answer=None, release="magika@1", live_s=0.01, **changes):
        """Shadow one request, and wait until that is done."""
        run = self.begin(**changes)
        run.compare_with(answer or live(), release, live_s)
        await asyncio.wait([run.end], timeout=WAIT_S)

    def written(self, event):
        return [fields for name, fields in self.lines if name == event]

    async def flush(self):
        await self.shadow.drain(deadline=self.loop.time() + WAIT_S)


def predicted(url, share=1.0, timeout_s=WAIT_S):
    def settings(name):
        return EndpointSettings(name, url, "shared", 1_500_000, timeout_s)

    return PredictedModel(
        name="magika",
        serving=settings(SERVING),
        candidate=settings(CANDIDATE),
        pin="",
        is_pin_enforced=False,
        retries_timeouts=False,
        shadow_share=share,
    )


def upstream():
    return Upstream(connections_max=32, answer_max_bytes=ANSWER_MAX_BYTES)
