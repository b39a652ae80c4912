"""The client over TLS, with certificates that it should and should not trust."""

import asyncio
import contextlib
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest

from functions.errors import BrokenAnswerError, LateAnswerError, NotSentError
from tests.edge_runtime.certificates import make_authority
from tests.functions.adapters.raw_upstream import (
    LOOPS,
    WAIT_S,
    RawUpstream,
    Scene,
    ask,
    ok,
    read_request,
    until,
    wait_for_end,
)


@pytest.fixture(params=sorted(LOOPS))
def scene(request):
    return Scene(LOOPS[request.param])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(authority):
    return ssl.create_default_context(cafile=authority.path)


def echo(connection, _number):
    while (request := read_request(connection))[0]:
        connection.sendall(ok(request[1]))


@pytest.mark.parametrize("size", [2, 100_000, 10_000_000])
def test_bodies_pass_unchanged_both_ways_on_one_connection(
    scene, authority, trusting, size
):
    async def play(upstream):
        answers = [
            await ask(upstream, server.origin, body=b"x" * size) for _ in range(2)
        ]
        return [answer.body == b"x" * size for answer in answers]

    with RawUpstream(echo, tls=authority.serve()) as server:
        assert scene.run(play, tls=trusting) == [True, True]
        assert server.connections == 1


def test_the_systems_authorities_are_trusted_where_nobody_says_otherwise(
    scene, authority, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))

    async def play(upstream):
        return (await ask(upstream, server.origin)).body

    with RawUpstream(echo, tls=authority.serve()) as server:
        assert scene.run(play) == b"{}"


def served_by(authority, tmp_path):
    """Return the ways in which a certificate may be none for us."""
    long_ago = datetime.now(UTC) - timedelta(days=1)
    stranger = make_authority(tmp_path, "stranger")
    return {
        "a stranger's": stranger.serve(),
        "another's": authority.serve("example.com"),
        "old": authority.serve(begins=long_ago - timedelta(days=9), ends=long_ago),
    }


@pytest.mark.parametrize("kind", ["a stranger's", "another's", "old"])
def test_a_certificate_that_is_not_good_sees_no_request(
    scene, authority, trusting, tmp_path, kind
):
    seen = []

    def script(connection, _number):
        seen.append(read_request(connection))

    async def play(upstream):
        with pytest.raises(NotSentError) as raised:
            await ask(upstream, server.origin)
        assert upstream.connections == 0
        return str(raised.value)

    with RawUpstream(script, tls=served_by(authority, tmp_path)[kind]) as server:
        assert scene.run(play, tls=trusting) == "upstream took no connection"
        assert server.ended.acquire(timeout=WAIT_S)

    assert seen in ([], [(b"", b"")])


class NoTls:
    """Lets a script speak in plain text where the client expects TLS."""

    def wrap_socket(self, connection, **_):
        return connection


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad\r\n\r\n"])
def test_a_server_that_speaks_no_tls_sees_no_request(scene, trusting, said):
    def script(connection, _number):
        connection.sendall(said)

    async def play(upstream):
        with pytest.raises(NotSentError):
            await ask(upstream, server.origin)
        assert upstream.connections == 0

    with RawUpstream(script, tls=NoTls()) as server:
        scene.run(play, tls=trusting)


@pytest.mark.parametrize(
    ("within_s", "expected"), [(WAIT_S, NotSentError), (0.2, LateAnswerError)]
)
def test_a_handshake_that_stalls_is_given_up(scene, trusting, within_s, expected):
    def script(connection, _number):
        wait_for_end(connection)

    async def play(upstream):
        with pytest.raises(expected):
            await ask(upstream, server.origin, within_s=within_s)
        assert upstream.connections == 0

    with RawUpstream(script, tls=NoTls()) as server:
        scene.run(play, tls=trusting, connect_s=0.4)
        assert server.ended.acquire(timeout=WAIT_S)


def saying_goodbye(connection, _number):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")
    with contextlib.suppress(OSError):
        connection.unwrap()


def test_a_goodbye_ends_an_answer_that_has_no_length(scene, authority, trusting):
    async def play(upstream):
        return (await ask(upstream, server.origin)).body

    with RawUpstream(saying_goodbye, tls=authority.serve()) as server:
        assert scene.run(play, tls=trusting) == b"abc"


def test_without_a_goodbye_an_answer_that_has_no_length_may_be_cut_short(
    authority, trusting
):
    """Only uvloop, which serves in production, tells the one end from the other."""

    def script(connection, _number):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")

    async def play(upstream):
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)

    with RawUpstream(script, tls=authority.serve()) as server:
        Scene(LOOPS["uvloop"]).run(play, tls=trusting)


def test_a_truncated_answer_is_none(scene, authority, trusting):
    def script(connection, _number):
        read_request(connection)
        connection.sendall(ok(b"x" * 100_000)[:-1])

    async def play(upstream):
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)
        assert upstream.connections == 0

    with RawUpstream(script, tls=authority.serve()) as server:
        scene.run(play, tls=trusting)


def test_the_deadline_holds_and_a_caller_may_give_up(scene, authority, trusting):
    asked = threading.Semaphore(0)

    def script(connection, _number):
        read_request(connection)
        asked.release()
        connection.sendall(ok(b"abc")[:-1])
        wait_for_end(connection)

    async def play(upstream):
        with pytest.raises(LateAnswerError):
            await ask(upstream, server.origin, within_s=0.2)
        asked.acquire(timeout=WAIT_S)
        task = asyncio.create_task(ask(upstream, server.origin))
        await asyncio.to_thread(asked.acquire, timeout=WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert upstream.connections == 0

    with RawUpstream(script, tls=authority.serve()) as server:
        scene.run(play, tls=trusting)
        assert server.ended.acquire(timeout=WAIT_S)


def test_an_end_that_comes_while_idle_is_noticed(scene, authority, trusting):
    def script(connection, _number):
        read_request(connection)
        connection.sendall(ok())

    async def play(upstream):
        await ask(upstream, server.origin)
        await until(lambda: upstream.connections == 0)
        return (await ask(upstream, server.origin)).body

    with RawUpstream(script, tls=authority.serve()) as server:
        assert scene.run(play, tls=trusting) == b"ok"
        assert server.connections == 2
