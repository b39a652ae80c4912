"""What the client makes of upstream that fails, in every way that we know."""

import asyncio
import socket
import threading
import time

import pytest

from functions.errors import BrokenAnswerError, LateAnswerError, NotSentError
from tests.functions.adapters.raw_upstream import (
    LOOPS,
    WAIT_S,
    RawUpstream,
    Scene,
    ask,
    ok,
    read_head,
    read_request,
    reset,
    until,
    wait_for_end,
)

SOON_S = 0.2
"""A deadline that comes while upstream stalls."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_END = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(params=sorted(LOOPS))
def scene(request):
    return Scene(LOOPS[request.param])


def first_then_ok(fault):
    """Make a script whose first connection fails, and whose others answer."""

    def script(connection, number):
        if number == 0:
            fault(connection)
            return
        while read_request(connection)[0]:
            connection.sendall(ok())

    return script


def saying(answer):
    """Answer once so, and wait for the client to go away."""

    def fault(connection):
        read_request(connection)
        connection.sendall(answer)
        wait_for_end(connection)

    return fault


def ending_after(answer):
    def fault(connection):
        read_request(connection)
        connection.sendall(answer)

    return fault


def resetting_after(answer):
    def fault(connection):
        read_request(connection)
        connection.sendall(answer)
        reset(connection)

    return fault


def repeating(start, piece):
    """Say something without an end."""

    def fault(connection):
        read_request(connection)
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return fault


BROKEN = {
    "end before": ending_after(b""),
    "end in the head": ending_after(b"HTTP/1.1 200 OK\r\nContent-"),
    "end before the body": ending_after(ok(b"abc")[:-3]),
    "end in the body": ending_after(ok(b"abc")[:-1]),
    "end in a long body": ending_after(ok(b"x" * 1_000_000)[:-1]),
    "end before the chunks": ending_after(CHUNKED),
    "end in a chunk": ending_after(CHUNKED + b"5\r\nabc"),
    "end before the last chunk": ending_after(CHUNKED + b"3\r\nabc\r\n"),
    "end in the trailer": ending_after(CHUNKED + b"0\r\nA: b\r\n"),
    "end after 100": ending_after(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "reset before": resetting_after(b""),
    "reset in the head": resetting_after(b"HTTP/1.1 200 OK\r\nContent-"),
    "reset in the body": resetting_after(ok(b"abc")[:-1]),
    "reset in place of the end": resetting_after(UNTIL_END + b"abc"),
    "two lengths": saying(ok(b"abc", b"Content-Length: 4")),
    "a list of lengths": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc"),
    "a length that is none": saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    "a length below zero": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "a length without end": saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"
    ),
    "length and chunks": saying(ok(b"abc", b"Transfer-Encoding: chunked")),
    "chunks and length": saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    ),
    "another coding": saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    ),
    "an unknown coding": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n"),
    "a chunk of no size": saying(CHUNKED + b"xyz\r\n"),
    "a chunk of another size": saying(CHUNKED + b"1\r\nabc\r\n"),
    "no HTTP": saying(b"\x16\x03\x01\x00\x00"),
    "HTTP/0.9": saying(b"<html>"),
    "no status": saying(b"HTTP/1.1 hello\r\n\r\n"),
    "a folded line": saying(b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n"),
    "a header without a name": saying(b"HTTP/1.1 200 OK\r\n: b\r\n\r\n"),
    "an upgrade": saying(
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    ),
    "an upgrade without its name": saying(b"HTTP/1.1 101 S\r\n\r\n"),
    "a head without end": repeating(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 99),
    "a header without end": repeating(b"HTTP/1.1 200 OK\r\nA: ", b"x" * 999),
    "a name without end": repeating(b"HTTP/1.1 200 OK\r\n", b"x" * 999),
    "a reason without end": repeating(b"HTTP/1.1 200 ", b"x" * 999),
    "100 without end": repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "empty lines without end": repeating(b"", b"\r\n" * 99),
    "an extension without end": repeating(CHUNKED + b"1;", b"x" * 999),
    "a trailer without end": repeating(CHUNKED + b"0\r\n", b"A: b\r\n" * 99),
    "a trailer's value without end": repeating(CHUNKED + b"0\r\nA: ", b"x" * 999),
    "a length over the limit": saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000001\r\n\r\n"
    ),
    "chunks over the limit": repeating(CHUNKED, b"3e8\r\n" + b"x" * 1000 + b"\r\n"),
    "a chunk over the limit": repeating(CHUNKED + b"fffffff\r\n", b"x" * 1000),
    "a body without end": repeating(UNTIL_END, b"x" * 1000),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_fails_at_once_once_and_harms_nobody_else(scene, fault):
    async def play(upstream):
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)
        assert server.connections == 1
        assert upstream.connections == 0
        return (await ask(upstream, server.origin)).body

    with RawUpstream(first_then_ok(fault)) as server:
        assert scene.run(play, answer_max_bytes=2_000_000) == b"ok"
        assert server.ended.acquire(timeout=WAIT_S)


def test_what_upstream_said_stays_out_of_the_errors_text(scene):
    async def play(upstream):
        with pytest.raises(BrokenAnswerError) as raised:
            await ask(upstream, server.origin)
        return str(raised.value)

    with RawUpstream(first_then_ok(saying(b"HTTP/1.1 secret\r\n\r\n"))) as server:
        assert "secret" not in scene.run(play)


@pytest.mark.parametrize("size", [2_000_000, 1_999_999])
def test_a_body_up_to_the_limit_is_an_answer(scene, size):
    async def play(upstream):
        return len((await ask(upstream, server.origin)).body)

    with RawUpstream(first_then_ok(saying(ok(b"x" * size)))) as server:
        assert scene.run(play, answer_max_bytes=2_000_000) == size


def stalling_after(answer):
    return saying(answer)


def dripping(start, piece):
    """Say a little now and then, so that something always comes."""

    def fault(connection):
        read_request(connection)
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.01)

    return fault


def taking_nothing(connection):
    read_head(connection)
    gone = threading.Event()
    gone.wait(2 * SOON_S)


LATE = {
    "before": stalling_after(b""),
    "in the status line": stalling_after(b"HTTP/1.1 2"),
    "in the head": stalling_after(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"),
    "before the body": stalling_after(ok(b"abc")[:-3]),
    "in the body": stalling_after(ok(b"abc")[:-1]),
    "in a long body": stalling_after(ok(b"x" * 1_000_000)[:-1]),
    "in a chunk": stalling_after(CHUNKED + b"5\r\nabc"),
    "after a chunk": stalling_after(CHUNKED + b"3\r\nabc\r\n"),
    "in the trailer": stalling_after(CHUNKED + b"0\r\nA: b\r\n"),
    "before the end": stalling_after(UNTIL_END + b"abc"),
    "after 100": stalling_after(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "dripping 100": dripping(b"", b"HTTP/1.1 100 C\r\n\r\n"),
    "dripping a head": dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "dripping a body": dripping(ok(b"x" * 10_000)[:-10_000], b"x"),
    "dripping chunks": dripping(CHUNKED, b"1\r\nx\r\n"),
    "dripping to the end": dripping(UNTIL_END, b"x"),
    "taking no body": taking_nothing,
}


@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
def test_the_deadline_is_kept_whatever_upstream_does(scene, fault):
    body = b"x" * (10_000_000 if fault is taking_nothing else 2)

    async def play(upstream):
        begun = time.monotonic()
        with pytest.raises(LateAnswerError):
            await ask(upstream, server.origin, body=body, within_s=SOON_S)
        took_s = time.monotonic() - begun
        assert upstream.connections == 0
        assert (await ask(upstream, server.origin)).body == b"ok"
        return took_s

    with RawUpstream(first_then_ok(fault)) as server:
        # A busy machine may look late; upstream itself would take WAIT_S.
        assert SOON_S - 0.01 < scene.run(play) < SOON_S + 1
        assert server.ended.acquire(timeout=WAIT_S)


def test_a_deadline_that_is_over_sends_nothing(scene):
    async def play(upstream):
        with pytest.raises(LateAnswerError):
            await ask(upstream, server.origin, within_s=0)

    with RawUpstream(first_then_ok(saying(ok()))) as server:
        scene.run(play)
        assert server.connections == 0


@pytest.mark.parametrize(
    "extra", [b"x", ok(b"another's"), b"HTTP/1.1 400 Bad\r\n\r\n", b"\x00" * 99]
)
@pytest.mark.parametrize("length", [2, 100_000])
def test_bytes_after_an_answer_are_nobodys_answer(scene, extra, length):
    first = ok(b"x" * length)

    async def play(upstream):
        answers = [await ask(upstream, server.origin) for _ in range(2)]
        return [len(answer.body) for answer in answers]

    with RawUpstream(first_then_ok(saying(first + extra))) as server:
        assert scene.run(play) == [length, 2]
        assert server.connections == 2
        assert server.ended.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("is_loop_busy", [True, False])
def test_bytes_that_come_while_nobody_asks_are_nobodys_answer(scene, is_loop_busy):
    go_on, said = threading.Event(), threading.Event()

    def fault(connection):
        read_request(connection)
        connection.sendall(ok(b"first"))
        assert go_on.wait(WAIT_S)
        connection.sendall(ok(b"poison"))
        said.set()
        wait_for_end(connection)

    async def play(upstream):
        assert (await ask(upstream, server.origin)).body == b"first"
        go_on.set()
        if is_loop_busy:
            # The loop cannot read what lies in the socket when the next one asks.
            said.wait(WAIT_S)
        else:
            await until(lambda: upstream.connections == 0)
        return (await ask(upstream, server.origin)).body

    with RawUpstream(first_then_ok(fault)) as server:
        assert scene.run(play) == b"ok"


@pytest.mark.parametrize("is_loop_busy", [True, False])
@pytest.mark.parametrize("end", [lambda connection: connection.close(), reset])
def test_an_idle_connection_that_upstream_ends_is_not_used(scene, end, is_loop_busy):
    go_on, ended = threading.Event(), threading.Event()

    def fault(connection):
        read_request(connection)
        connection.sendall(ok(b"first"))
        assert go_on.wait(WAIT_S)
        end(connection)
        ended.set()

    async def play(upstream):
        assert (await ask(upstream, server.origin)).body == b"first"
        go_on.set()
        if is_loop_busy:
            ended.wait(WAIT_S)
        else:
            await until(lambda: upstream.connections == 0)
        return (await ask(upstream, server.origin)).body

    with RawUpstream(first_then_ok(fault)) as server:
        assert scene.run(play) == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("end", [lambda connection: connection.close(), reset])
@pytest.mark.parametrize("size", [2, 10_000_000])
def test_a_request_that_meets_the_end_of_its_connection_is_sent_once_more(
    scene, end, size
):
    def fault(connection):
        read_request(connection)
        connection.sendall(ok(b"first"))
        read_head(connection)
        end(connection)

    async def play(upstream):
        assert (await ask(upstream, server.origin)).body == b"first"
        answer = await ask(upstream, server.origin, body=b"x" * size)
        assert upstream.connections == 1
        return answer.body

    with RawUpstream(first_then_ok(fault)) as server:
        assert scene.run(play) == b"ok"
        assert server.connections == 2


def test_it_is_sent_once_more_and_not_twice(scene):
    def script(connection, number):
        read_request(connection)
        if number == 0:
            connection.sendall(ok(b"first"))
            read_request(connection)

    async def play(upstream):
        await ask(upstream, server.origin)
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)

    with RawUpstream(script) as server:
        scene.run(play)
        assert server.connections == 2


def test_it_is_not_sent_again_once_a_byte_of_the_answer_came(scene):
    def fault(connection):
        read_request(connection)
        connection.sendall(ok(b"first"))
        read_request(connection)
        connection.sendall(b"H")

    async def play(upstream):
        await ask(upstream, server.origin)
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)

    with RawUpstream(first_then_ok(fault)) as server:
        scene.run(play)
        assert server.connections == 1


def test_an_upstream_that_goes_away_may_have_seen_the_request(scene):
    """What is sent anew meets nobody, but the first try is in doubt."""

    def fault(connection):
        read_request(connection)
        connection.sendall(ok(b"first"))
        read_head(connection)
        server.refuse_more()

    async def play(upstream):
        await ask(upstream, server.origin)
        with pytest.raises(BrokenAnswerError):
            await ask(upstream, server.origin)
        assert upstream.connections == 0

    with RawUpstream(first_then_ok(fault)) as server:
        scene.run(play)


def ending_politely(connection):
    """End as RFC 9112, 9.6, wants: a plain close may take the answer back."""
    connection.shutdown(socket.SHUT_WR)
    wait_for_end(connection)


@pytest.mark.parametrize("then", [wait_for_end, ending_politely])
def test_an_answer_may_come_before_the_body_was_taken(scene, then):
    def fault(connection):
        read_head(connection)
        connection.sendall(ok(b"too long", b"X: y"))
        then(connection)

    async def play(upstream):
        answer = await ask(upstream, server.origin, body=b"x" * 10_000_000)
        assert upstream.connections == 0
        return answer.body

    with RawUpstream(first_then_ok(fault)) as server:
        assert scene.run(play) == b"too long"
        assert server.ended.acquire(timeout=WAIT_S)


def test_a_caller_that_gives_up_ends_its_connection_alone(scene):
    asked = threading.Semaphore(0)

    def script(connection, _number):
        body = read_request(connection)[1]
        asked.release()
        if body == b"patient":
            connection.sendall(ok(body))
        wait_for_end(connection)

    async def play(upstream):
        pending = asyncio.create_task(ask(upstream, server.origin))
        await asyncio.to_thread(asked.acquire, timeout=WAIT_S)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        assert upstream.connections == 0
        await asyncio.to_thread(server.ended.acquire, timeout=WAIT_S)
        return (await ask(upstream, server.origin, body=b"patient")).body

    with RawUpstream(script) as server:
        assert scene.run(play) == b"patient"


def test_nobody_home_is_known_to_have_seen_nothing(scene):
    with RawUpstream(first_then_ok(saying(ok()))) as server:
        gone = server.origin

    async def play(upstream):
        with pytest.raises(NotSentError):
            await ask(upstream, gone)
        assert upstream.connections == 0

    scene.run(play)
