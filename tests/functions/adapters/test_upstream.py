"""The client between the proxy and Vertex AI, on real sockets: what goes well."""

import asyncio
import threading

import pytest

from functions.adapters.upstream.client import Answer
from functions.adapters.upstream.connection import Connection
from packhorse.errors import MalformedError
from tests.functions.adapters.raw_upstream import (
    LOOPS,
    WAIT_S,
    RawUpstream,
    Scene,
    ask,
    ok,
    read_head,
    read_request,
)


@pytest.fixture(params=sorted(LOOPS))
def scene(request):
    return Scene(LOOPS[request.param])


def echo(connection, _number):
    while (request := read_request(connection))[0]:
        connection.sendall(ok(request[1]))


def answering(*pieces):
    """Make a script that answers every request so, piece by piece."""

    def script(connection, _number):
        while read_request(connection)[0]:
            for piece in pieces:
                connection.sendall(piece)

    return script


def ending_with(answer):
    """Make a script that answers one request and ends the connection."""

    def script(connection, _number):
        read_request(connection)
        connection.sendall(answer)

    return script


def test_a_request_is_what_was_asked_for_and_nothing_else(scene):
    heads = []

    def script(connection, _number):
        head, body = read_request(connection)
        heads.append((head, body))
        connection.sendall(ok())

    async def play(upstream):
        headers = [(b"Authorization", b"Bearer t"), (b"Content-Type", b"a/b; c=1")]
        return await ask(upstream, server.origin, body=b"\x00{}", headers=headers)

    with RawUpstream(script) as server:
        answer = scene.run(play)

    assert answer == Answer(200, {"content-length": "2"}, b"ok")
    assert heads == [
        (
            b"POST /x HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"User-Agent: packhorse\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Authorization: Bearer t\r\n"
            b"Content-Type: a/b; c=1\r\n"
            b"Content-Length: 3\r\n\r\n" % server.port,
            b"\x00{}",
        )
    ]


def test_a_get_has_no_body(scene):
    heads = []

    def script(connection, _number):
        heads.append(read_head(connection))
        connection.sendall(ok())

    async def play(upstream):
        deadline = asyncio.get_running_loop().time() + WAIT_S
        await upstream.request("GET", server.origin, "/a?b=c", (), deadline=deadline)

    with RawUpstream(script) as server:
        scene.run(play)

    assert heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"content-length" not in heads[0].lower()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x", [(b"A", b"b\r\nEvil: yes")]),
        ("/x", [(b"A", b"b\nEvil: yes")]),
        ("/x", [(b"A\r", b"b")]),
        ("/x HTTP/1.1\r\nEvil: yes", []),
        ("/a b", []),
        ("/ä", []),
        ("x", []),
    ],
)
def test_nothing_can_be_smuggled_into_a_head(scene, path, headers):
    async def play(upstream):
        with pytest.raises(MalformedError):
            await ask(upstream, server.origin, path=path, headers=headers)

    with RawUpstream(echo) as server:
        scene.run(play)
        assert server.connections == 0


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([ok(b"abc")], b"abc"),
        ([ok(b"")], b""),
        ([bytes([byte]) for byte in ok(b"abc")], b"abc"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", ok()], b"ok"),
        ([b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + ok()], b"ok"),
        ([b"\r\n", ok()], b"ok"),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"3\r\nabc\r\n",
                b"2;ext=1\r\nde\r\n0\r\n\r\n",
            ],
            b"abcde",
        ),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
                b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nX-A: 1\r\nX-B: 9\r\n\r\n",
            ],
            b"abc",
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], b""),
        (
            [ok(b"a", b"Connection: keep-alive").replace(b"1.1", b"1.0", 1)],
            b"a",
        ),
    ],
)
def test_an_answer_is_read_however_it_comes_and_the_connection_kept(
    scene, pieces, body
):
    async def play(upstream):
        return [(await ask(upstream, server.origin)) for _ in range(3)]

    with RawUpstream(answering(*pieces)) as server:
        answers = scene.run(play)
        assert [answer.body for answer in answers] == [body] * 3
        assert server.connections == 1


def test_neither_interim_headers_nor_trailers_are_the_answers(scene):
    pieces = [
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX-Trailer: y\r\n\r\n",
    ]

    async def play(upstream):
        return await ask(upstream, server.origin)

    with RawUpstream(answering(*pieces)) as server:
        answer = scene.run(play)

    assert answer.headers == {"transfer-encoding": "chunked"}


def test_headers_come_in_lower_case_the_last_of_a_name_and_no_coding_is_undone(scene):
    lines = [b"X-Vertex-AI-Deployed-Model-Id: 101", b"X-A: \xe9", b"x-a: last"]
    lines.append(b"Content-Encoding: gzip")

    async def play(upstream):
        return await ask(upstream, server.origin)

    with RawUpstream(answering(ok(b"\x1f\x8b", *lines))) as server:
        answer = scene.run(play)

    assert answer.headers == {
        "content-length": "2",
        "x-vertex-ai-deployed-model-id": "101",
        "x-a": "last",
        "content-encoding": "gzip",
    }
    assert answer.body == b"\x1f\x8b"


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"abc", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
    ],
    ids=["close", "1.0", "1.0 until the end", "until the end", "close at the end"],
)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(scene, answer):
    async def play(upstream):
        return [(await ask(upstream, server.origin)).body for _ in range(2)]

    with RawUpstream(ending_with(answer)) as server:
        assert scene.run(play) == [b"abc"] * 2
        assert server.connections == 2


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 504])
def test_an_answer_of_any_status_is_an_answer(scene, status):
    answer = ok(b"why", b"Retry-After: 7").replace(b"200", b"%d" % status, 1)

    async def play(upstream):
        return await ask(upstream, server.origin)

    with RawUpstream(answering(answer)) as server:
        found = scene.run(play)

    assert (found.status, found.body) == (status, b"why")
    assert found.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "size", [0, 1, 16 * 1024, 100_000, 256 * 1024, 256 * 1024 + 1, 10_000_000]
)
def test_bodies_of_every_size_pass_unchanged_both_ways(scene, size):
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)

    async def play(upstream):
        first, *rest = [await ask(upstream, server.origin, body=body) for _ in "ab"]
        return first.body == body and all(answer.body == body for answer in rest)

    with RawUpstream(echo) as server:
        assert scene.run(play)
        assert server.connections == 1


def test_a_long_chunked_answer_passes_unchanged(scene):
    chunks = [bytes([number]) * 50_000 for number in range(200)]
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def play(upstream):
        return (await ask(upstream, server.origin)).body

    with RawUpstream(answering(head, *pieces, b"0\r\n\r\n")) as server:
        assert scene.run(play) == b"".join(chunks)


def test_a_long_body_waits_in_the_socket_and_not_in_memory(scene):
    """Upstream that takes nothing must not make the transport hold ten megabytes."""
    begun, go_on = threading.Event(), threading.Event()
    body = b"x" * 10_000_000

    def script(connection, _number):
        read_head(connection)
        begun.set()
        assert go_on.wait(WAIT_S)
        got = 0
        while got < len(body):
            got += len(connection.recv(1 << 20))
        connection.sendall(ok(b"%d" % got))

    async def play(_upstream):
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(
            lambda: Connection(100, lambda _: None), "127.0.0.1", server.port
        )
        head = b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n"
        answer = connection.send(loop, head, body, loop.time() + WAIT_S)
        await asyncio.to_thread(begun.wait, WAIT_S)
        held = transport.get_write_buffer_size()
        go_on.set()
        body_of_answer = (await answer).body
        connection.abort()
        await asyncio.sleep(0)
        return held, body_of_answer

    with RawUpstream(script) as server:
        held, answer = scene.run(play)

    assert answer == b"10000000"
    assert held < 1_000_000


def test_requests_at_once_have_a_connection_each_and_it_is_kept(scene):
    async def play(upstream):
        for _ in range(3):
            bodies = [b"%d" % number for number in range(20)]
            answers = await asyncio.gather(
                *(ask(upstream, server.origin, body=body) for body in bodies)
            )
            assert [answer.body for answer in answers] == bodies
        return upstream.connections

    with RawUpstream(echo) as server:
        assert scene.run(play) == 20
        assert server.connections == 20


def test_the_connection_used_last_is_used_first(scene):
    async def play(upstream):
        await asyncio.gather(*(ask(upstream, server.origin) for _ in range(3)))
        return [(await ask(upstream, server.origin)).body for _ in range(3)]

    def script(connection, number):
        while read_request(connection)[0]:
            connection.sendall(ok(b"%d" % number))

    with RawUpstream(script) as server:
        assert len(set(scene.run(play))) == 1


def test_closing_ends_what_is_idle(scene):
    async def play(upstream):
        await ask(upstream, server.origin)

    with RawUpstream(echo) as server:
        scene.run(play)
        assert server.ended.acquire(timeout=WAIT_S)


def test_servers_are_kept_apart(scene):
    def named(name):
        return answering(ok(name))

    async def play(upstream):
        for _ in range(2):
            assert (await ask(upstream, one.origin)).body == b"one"
            assert (await ask(upstream, two.origin)).body == b"two"
        return upstream.connections

    with RawUpstream(named(b"one")) as one, RawUpstream(named(b"two")) as two:
        assert scene.run(play) == 2
