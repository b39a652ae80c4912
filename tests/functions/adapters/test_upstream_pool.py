"""How many connections there are, who waits for one, and when they go."""

import asyncio
import socket
import threading
import time

import pytest

from functions.adapters.upstream import pool
from functions.adapters.upstream.origin import Origin
from functions.errors import LateAnswerError, NotSentError, OverloadedError
from tests.functions.adapters.raw_upstream import (
    LOOPS,
    WAIT_S,
    RawUpstream,
    Scene,
    ask,
    ok,
    read_request,
    until,
)


@pytest.fixture(params=sorted(LOOPS))
def scene(request):
    return Scene(LOOPS[request.param])


class Gate:
    """A server that answers when it is told to, and knows what it was asked."""

    def __init__(self):
        self.asked = []
        self.go_on = threading.Semaphore(0)

    def __call__(self, connection, _number):
        while (request := read_request(connection))[0]:
            self.asked.append(request[1])
            if request[1] != b"free":
                assert self.go_on.acquire(timeout=WAIT_S)
            connection.sendall(ok(request[1]))

    async def wait_for(self, count):
        await until(lambda: len(self.asked) >= count)

    def open(self, count):
        for _ in range(count):
            self.go_on.release()


def start(upstream, origin, *bodies):
    return [asyncio.create_task(ask(upstream, origin, body=body)) for body in bodies]


def test_requests_beyond_the_limit_wait_in_the_order_they_came(scene):
    gate = Gate()
    bodies = [b"%d" % number for number in range(9)]

    async def play(upstream):
        tasks = start(upstream, server.origin, *bodies)
        await gate.wait_for(2)
        assert upstream.connections == 2
        for done in range(1, 8):
            gate.open(1)
            await gate.wait_for(2 + done)
        gate.open(9)
        return [answer.body for answer in await asyncio.gather(*tasks)]

    with RawUpstream(gate) as server:
        assert scene.run(play, connections_max=2) == bodies
        assert sorted(gate.asked[:2]) == bodies[:2]
        assert gate.asked[2:] == bodies[2:]
        assert server.connections == 2


def test_a_request_that_waits_too_long_says_so_and_takes_nobodys_turn(scene):
    gate = Gate()

    async def play(upstream):
        (first,) = start(upstream, server.origin, b"first")
        await gate.wait_for(1)
        begun = time.monotonic()
        # Not late: whoever is asked was given nothing, and is not to blame.
        with pytest.raises(OverloadedError):
            await ask(upstream, server.origin, within_s=0.1)
        assert time.monotonic() - begun < 1
        (last,) = start(upstream, server.origin, b"last")
        gate.open(2)
        return (await first).body, (await last).body

    with RawUpstream(gate) as server:
        assert scene.run(play, connections_max=1) == (b"first", b"last")
        assert gate.asked == [b"first", b"last"]


def test_a_caller_that_gives_up_in_the_queue_takes_nobodys_turn(scene):
    gate = Gate()

    async def play(upstream):
        (first,) = start(upstream, server.origin, b"first")
        await gate.wait_for(1)
        gives_up, last = start(upstream, server.origin, b"gives up", b"last")
        await asyncio.sleep(0)
        gives_up.cancel()
        gate.open(2)
        return (await first).body, (await last).body

    with RawUpstream(gate) as server:
        assert scene.run(play, connections_max=1) == (b"first", b"last")
        assert gate.asked == [b"first", b"last"]


@pytest.mark.parametrize("is_for_another", [True, False])
def test_a_caller_that_gives_up_as_its_turn_comes_passes_it_on(scene, is_for_another):
    gate = Gate()

    async def play(upstream):
        async def ask_and_cancel():
            answer = await ask(upstream, server.origin, body=b"first")
            # Its turn was given just now, and it has not run since.
            gives_up.cancel()
            return answer

        first = asyncio.create_task(ask_and_cancel())
        await gate.wait_for(1)
        origin = other.origin if is_for_another else server.origin
        (gives_up,) = start(upstream, origin, b"gives up")
        (last,) = start(upstream, server.origin, b"last")
        await asyncio.sleep(0)
        gate.open(2)
        return (await first).body, (await last).body, gives_up.cancelled()

    with RawUpstream(gate) as server, RawUpstream(Gate()) as other:
        assert scene.run(play, connections_max=1) == (b"first", b"last", True)
        assert gate.asked == [b"first", b"last"]


def test_a_connection_that_broke_gives_its_turn_to_the_next(scene):
    def script(connection, number):
        request = read_request(connection)
        if number:
            connection.sendall(ok(request[1]))

    async def play(upstream):
        tasks = start(upstream, server.origin, b"1", b"2", b"3")
        first, *rest = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, Exception)
        return [answer.body for answer in rest]

    with RawUpstream(script) as server:
        assert scene.run(play, connections_max=1) == [b"2", b"3"]
        assert server.connections == 3


def test_an_idle_connection_makes_room_for_another_server(scene):
    gates = Gate(), Gate()

    async def play(upstream):
        for _ in range(3):
            for server in (one, two):
                await ask(upstream, server.origin, body=b"free")
        return upstream.connections

    with RawUpstream(gates[0]) as one, RawUpstream(gates[1]) as two:
        assert scene.run(play, connections_max=1) == 1
        assert one.ended.acquire(timeout=WAIT_S)
        assert two.ended.acquire(timeout=WAIT_S)


def test_a_turn_passes_to_a_request_for_another_server(scene):
    gate, other = Gate(), Gate()

    async def play(upstream):
        (first,) = start(upstream, one.origin, b"first")
        await gate.wait_for(1)
        (second,) = start(upstream, two.origin, b"free")
        await asyncio.sleep(0)
        gate.open(1)
        return (await first).body, (await second).body, upstream.connections

    with RawUpstream(gate) as one, RawUpstream(other) as two:
        assert scene.run(play, connections_max=1) == (b"first", b"free", 1)


def test_old_connections_go_before_they_are_used(scene, monkeypatch):
    gate = Gate()

    async def play(upstream):
        await ask(upstream, server.origin, body=b"free")
        monkeypatch.setattr(pool, "IDLE_S", 0.0)
        await ask(upstream, server.origin, body=b"free")

    with RawUpstream(gate) as server:
        scene.run(play)
        assert server.connections == 2


def test_old_connections_go_though_nobody_asks(scene, monkeypatch):
    monkeypatch.setattr(pool, "IDLE_S", 0.05)
    monkeypatch.setattr(pool, "SWEEP_S", 0.02)
    gate = Gate()

    async def play(upstream):
        await ask(upstream, server.origin, body=b"free")
        assert upstream.connections == 1
        assert await asyncio.to_thread(server.ended.acquire, timeout=WAIT_S)
        assert upstream.connections == 0

    with RawUpstream(gate) as server:
        scene.run(play)


def test_more_connections_than_may_be_idle_are_not_kept(scene, monkeypatch):
    monkeypatch.setattr(pool, "IDLE_MAX", 2)
    gate = Gate()

    async def play(upstream):
        tasks = start(upstream, server.origin, *[b"x"] * 5)
        await gate.wait_for(5)
        gate.open(5)
        await asyncio.gather(*tasks)
        return upstream.connections

    with RawUpstream(gate) as server:
        assert scene.run(play) == 2


def test_a_request_under_way_outlives_the_closing_and_its_connection_does_not(scene):
    gate = Gate()

    async def play(upstream):
        (first,) = start(upstream, server.origin, b"first")
        await gate.wait_for(1)
        await upstream.close()
        gate.open(1)
        assert (await first).body == b"first"
        return upstream.connections

    with RawUpstream(gate) as server:
        assert scene.run(play) == 0


@pytest.mark.parametrize("host", ["a" * 64, "::1%nobody", "\x00"])
def test_a_name_that_means_nothing_is_known_to_have_seen_nothing(scene, host):
    async def play(upstream):
        with pytest.raises(NotSentError):
            await ask(upstream, Origin(is_tls=False, host=host, port=80))
        assert upstream.connections == 0

    scene.run(play)


@pytest.fixture
def full_house():
    """A server whose kernel takes no more connections, and answers none."""

    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        guests = [socket.socket() for _ in range(4)]
        for guest in guests:
            guest.settimeout(0)
            guest.connect_ex(address)
        yield Origin(is_tls=False, host="127.0.0.1", port=address[1])
        for guest in guests:
            guest.close()


def test_a_server_that_takes_no_connection_is_given_up(scene, full_house):
    async def play(upstream):
        begun = time.monotonic()
        with pytest.raises(NotSentError):
            await ask(upstream, full_house)
        assert upstream.connections == 0
        return time.monotonic() - begun

    assert 0.19 < scene.run(play, connect_s=0.2) < 1.2


def test_a_deadline_holds_while_a_connection_is_opened(scene, full_house):
    async def play(upstream):
        begun = time.monotonic()
        with pytest.raises(LateAnswerError):
            await ask(upstream, full_house, within_s=0.2)
        assert upstream.connections == 0
        return time.monotonic() - begun

    assert 0.19 < scene.run(play) < 1.2


def test_a_caller_that_gives_up_while_a_connection_is_opened_holds_none(
    scene, full_house
):
    async def play(upstream):
        (task,) = start(upstream, full_house, b"x")
        await until(lambda: upstream.connections == 1)
        # Whichever step of connecting this meets, it must leave nothing behind.
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert upstream.connections == 0

    scene.run(play)
