"""The names of what an endpoint serves, from Vertex AI's stand-in and from worse."""

import asyncio
import json
import os
import threading

import pytest

from functions import settings
from functions.adapters import deployed_releases
from functions.adapters.bearer_token import BearerToken
from functions.adapters.deployed_releases import Deployed, DeployedReleases
from functions.adapters.upstream.client import Upstream
from functions.adapters.upstream.origin import parse_origin
from functions.adapters.vertex import Vertex
from functions.errors import UpstreamUnavailableError
from packhorse.names import Release
from tests.functions.adapters.raw_upstream import (
    WAIT_S,
    RawUpstream,
    ok,
    read_request,
    wait_for_end,
)
from tests.functions.servers import wait_until
from tests.functions.vertex_stand_in import PARENT, SERVING

TWO = {
    "name": SERVING,
    "deployedModels": [
        {"id": "101", "displayName": "magika@1", "model": "m", "extra": [{}]},
        {"id": "102", "displayName": "magika@2"},
    ],
    "trafficSplit": {"101": 90, "102": 10},
}
BOTH = (Deployed("101", "magika@1", 90), Deployed("102", "magika@2", 10))


def as_answer(document, status=200):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ok(body).replace(b"200 OK", b"%d X" % status, 1)


class Api:
    """Answers everybody alike, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heads = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, connection, _number):
        while head := read_request(connection)[0]:
            self.heads.append(head)
            assert self.go_on.wait(WAIT_S)
            last = len(self.answers) == 1
            connection.sendall(self.answers[0] if last else self.answers.pop(0))


def play(origin, script, **limits):
    """Run `script(releases, in_s)` with a client of its own."""

    async def scene():
        loop = asyncio.get_running_loop()
        upstream = Upstream(**limits)
        releases = DeployedReleases(upstream, BearerToken(), origin)
        try:
            return await script(releases, lambda seconds: loop.time() + seconds)
        finally:
            await upstream.close()

    return asyncio.run(scene())


def test_vertex_ais_stand_in_names_what_it_serves(vertex):
    release = Release("magika", 1)
    number = vertex.upload(release)
    deployer = Vertex(settings.serving_settings(os.environ))
    wait_until(
        lambda: deployer.ensure_deployed(
            SERVING,
            release,
            version=f"{PARENT}/models/magika@{number}",
            deployed_id="101",
        )
    )
    deployer.move_traffic(deployer.read_endpoint(SERVING), {release: 100})

    async def script(releases, in_s):
        return await releases.read(SERVING, deadline=in_s(WAIT_S))

    assert play(parse_origin(vertex.url), script) == (Deployed("101", "magika@1", 100),)


def test_both_ways_to_ask_share_one_look(google_account):
    api = Api(as_answer(TWO))

    async def script(releases, in_s):
        deadline = in_s(WAIT_S)
        names = [
            await releases.release_of(SERVING, number, deadline=deadline)
            for number in ("101", "102", "103", "")
        ]
        return names, await releases.read(SERVING, deadline=deadline)

    with RawUpstream(api) as server:
        assert play(server.origin, script) == (["magika@1", "magika@2", "", ""], BOTH)

    (head,) = api.heads
    assert head.startswith(b"GET /v1/%b HTTP/1.1\r\n" % SERVING.encode())
    assert b"\r\nAuthorization: Bearer local." in head


def test_all_who_wait_share_one_look_and_may_give_up(google_account):
    api = Api(as_answer(TWO))
    api.go_on.clear()

    async def script(releases, in_s):
        impatient = await releases.release_of(SERVING, "101", deadline=in_s(0.05))
        tasks = [
            asyncio.create_task(
                releases.release_of(SERVING, number, deadline=in_s(WAIT_S))
            )
            for number in ("101", "102", "101")
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        api.go_on.set()
        return impatient, await asyncio.gather(*tasks[1:])

    with RawUpstream(api) as server:
        assert play(server.origin, script) == ("", ["magika@2", "magika@1"])

    assert len(api.heads) == 1


def test_an_unknown_model_is_asked_for_again_after_a_while(google_account, monkeypatch):
    api = Api(as_answer({}), as_answer(TWO))

    async def script(releases, in_s):
        deadline = in_s(WAIT_S)
        early = [
            await releases.release_of(SERVING, "102", deadline=deadline)
            for _ in range(3)
        ]
        monkeypatch.setattr(deployed_releases, "LOOK_AGAIN_S", 0.0)
        late = await releases.release_of(SERVING, "102", deadline=deadline)
        return early, late

    with RawUpstream(api) as server:
        assert play(server.origin, script) == (["", "", ""], "magika@2")

    assert len(api.heads) == 2


def test_names_outlive_an_api_that_is_away_and_shares_do_not(
    google_account, monkeypatch
):
    monkeypatch.setattr(deployed_releases, "LOOK_AGAIN_S", 0.0)
    api = Api(as_answer(TWO), as_answer({}, 503))

    async def script(releases, in_s):
        deadline = in_s(WAIT_S)
        assert await releases.read(SERVING, deadline=deadline) == BOTH
        with pytest.raises(UpstreamUnavailableError):
            await releases.read(SERVING, deadline=deadline)
        return await releases.release_of(SERVING, "101", deadline=deadline)

    with RawUpstream(api) as server:
        assert play(server.origin, script) == "magika@1"


def test_a_refused_token_is_replaced_once(google_account):
    api = Api(as_answer({}, 401), as_answer(TWO))

    async def script(releases, in_s):
        return await releases.read(SERVING, deadline=in_s(WAIT_S))

    with RawUpstream(api) as server:
        assert play(server.origin, script) == BOTH

    tokens = [head.split(b"Bearer ")[1].split(b"\r\n")[0] for head in api.heads]
    assert len(set(tokens)) == 2


HOSTILE = {
    "no JSON": b"<html>",
    "a list": [],
    "models that are none": {"deployedModels": {"101": "magika@1"}},
    "a model that is none": {"deployedModels": ["magika@1"]},
    "no id": {"deployedModels": [{"displayName": "magika@1"}]},
    "an id that is no text": {"deployedModels": [{"id": 101}]},
    "an id that is no number": {"deployedModels": [{"id": "1\r\n"}]},
    "a split that is none": {"deployedModels": [{"id": "1"}], "trafficSplit": [1]},
    "a share that is text": {**TWO, "trafficSplit": {"101": "90"}},
    "a share of truth": {**TWO, "trafficSplit": {"101": True}},
    "a share over all": {**TWO, "trafficSplit": {"101": 101}},
    "a share below none": {**TWO, "trafficSplit": {"101": -1}},
    "a field twice": b'{"deployedModels": [], "deployedModels": []}',
    "too deep": b"[" * 100_000,
    "too many": {"deployedModels": [{"id": str(n)} for n in range(1001)]},
    "too long": {"deployedModels": [], "padding": "x" * 1024**2},
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
def test_a_description_that_is_none_names_nothing(google_account, document):
    async def script(releases, in_s):
        with pytest.raises(UpstreamUnavailableError):
            await releases.read(SERVING, deadline=in_s(WAIT_S))
        return await releases.release_of(SERVING, "101", deadline=in_s(WAIT_S))

    with RawUpstream(Api(as_answer(document))) as server:
        assert play(server.origin, script) == ""


@pytest.mark.parametrize("name", ["a\r\nEvil: yes", "ä", "x" * 129, 7, None, ["a"]])
def test_a_name_that_may_not_stand_in_a_header_is_no_name(google_account, name):
    document = {"deployedModels": [{"id": "101", "displayName": name}]}

    async def script(releases, in_s):
        return await releases.read(SERVING, deadline=in_s(WAIT_S))

    with RawUpstream(Api(as_answer(document))) as server:
        assert play(server.origin, script) == (Deployed("101", "", 0),)


def test_an_api_that_stalls_costs_a_caller_no_more_than_its_deadline(google_account):
    def script(connection, _number):
        read_request(connection)
        wait_for_end(connection)

    async def ask(releases, in_s):
        begun = in_s(0)
        assert await releases.release_of(SERVING, "101", deadline=in_s(0.1)) == ""
        with pytest.raises(UpstreamUnavailableError):
            await releases.read(SERVING, deadline=in_s(0.1))
        return in_s(0) - begun

    with RawUpstream(script) as server:
        assert play(server.origin, ask) < 1.2


def test_an_api_that_nobody_serves_leaves_models_without_a_name(google_account):
    with RawUpstream(Api(as_answer(TWO))) as server:
        gone = parse_origin(f"http://127.0.0.1:{server.port}")

    async def script(releases, in_s):
        return await releases.release_of(SERVING, "101", deadline=in_s(WAIT_S))

    assert play(gone, script) == ""
