"""Publishing over REST: to a Pub/Sub that is there, and to one that fails."""

import asyncio
import ssl

import pytest

from functions.adapters.bearer_token import BearerToken
from functions.adapters.topic import Topic
from functions.adapters.upstream.origin import parse_origin
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from tests.edge_runtime.certificates import make_authority
from tests.functions.adapters.raw_upstream import (
    LOOPS,
    RawUpstream,
    Scene,
    read_request,
)

NAME = "projects/p/topics/shadows"


@pytest.fixture(autouse=True)
def credentials(google_account):
    """Let google-auth find a token."""


def publish(origin, *bodies, name=NAME, **limits):
    async def play(upstream):
        topic = Topic(upstream, BearerToken(), origin, name)
        deadline = asyncio.get_running_loop().time() + 20
        await topic.publish(bodies, deadline=deadline)

    Scene(LOOPS["uvloop"]).run(play, **limits)


def answering(status, heads):
    def script(connection, _number):
        while (request := read_request(connection))[0]:
            heads.append(request[0].lower())
            connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)

    return script


def test_pubsub_takes_the_messages(pubsub, project, topics):
    origin = parse_origin(f"http://{pubsub.host}")

    publish(origin, b"\x00one", b"two", name=f"projects/{project}/topics/shadows")

    assert sorted(topics.read("shadows")) == [b"\x00one", b"two"]


def test_a_topic_that_is_missing_is_refused(pubsub, project):
    with pytest.raises(UpstreamRefusedError, match="404"):
        publish(parse_origin(f"http://{pubsub.host}"), b"one")


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
def test_what_may_work_later_says_so(status):
    with (
        RawUpstream(answering(status, [])) as server,
        pytest.raises(UpstreamUnavailableError, match=str(status)),
    ):
        publish(server.origin, b"one")


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_never_works_says_so(status):
    with (
        RawUpstream(answering(status, [])) as server,
        pytest.raises(UpstreamRefusedError, match=str(status)),
    ):
        publish(server.origin, b"one")


def test_no_token_goes_where_there_is_no_tls():
    heads = []
    with RawUpstream(answering(200, heads)) as server:
        publish(server.origin, b"one")

    assert b"authorization" not in heads[0]


def test_over_tls_the_token_goes_and_one_that_is_refused_is_fetched_anew(tmp_path):
    authority = make_authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.path)
    heads = []

    async def play(upstream):
        token = BearerToken()
        topic = Topic(upstream, token, server.origin, NAME)
        deadline = asyncio.get_running_loop().time() + 20
        before = await token.value()
        with pytest.raises(UpstreamUnavailableError):
            await topic.publish([b"one"], deadline=deadline)
        return before, token._good_until  # noqa: SLF001 - nothing else shows it

    with RawUpstream(answering(401, heads), tls=authority.serve()) as server:
        before, good_until = Scene(LOOPS["uvloop"]).run(play, tls=trusting)

    assert b"\r\nauthorization: " + before.lower() + b"\r\n" in heads[0]
    assert good_until == 0.0
