"""Answers that nobody reads, or slowly: real sockets, the server's own loop."""

import asyncio
import contextlib
import socket
import time

import pytest
import uvloop

from edge_runtime.hot_path import Connection
from edge_runtime.http.head import HeadMemory, HttpError
from edge_runtime.http.replies import Reply
from edge_runtime.http.sized_body import Allowance
from edge_runtime.settings.serve_settings import Limits

MIB = 1024**2
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Taker:
    """A server that gives every request the same long answer."""

    def __init__(self, answer_bytes, allowed_bytes=64 * MIB, **limits):
        self.limits = Limits(**limits)
        self.heads = HeadMemory()
        self.allowance = Allowance(allowed_bytes)
        self.now_s = time.monotonic()
        self.date = b""
        self.is_draining = False
        self.answered = 0
        self.connections = set()
        self._allowed_bytes = allowed_bytes
        self._reply = Reply(200, b"x" * answer_bytes)

    def check(self, _head):
        return None

    def take(self, connection, head, _body):
        self.answered += 1
        connection.answer(self._reply, head)

    def opened(self, connection):
        self.connections.add(connection)
        return True

    def closed(self, connection):
        self.connections.discard(connection)

    async def keep_time(self):
        while True:
            self.now_s = time.monotonic()
            for connection in [*self.connections]:
                if connection.deadline_s < self.now_s:
                    connection.expire()
            await asyncio.sleep(0.02)

    def has_all_back(self):
        try:
            self.allowance.take(self._allowed_bytes)
        except HttpError:
            return False
        self.allowance.give_back(self._allowed_bytes)
        return True


@contextlib.asynccontextmanager
async def connected(taker):
    """Give a client's socket that takes little at a time."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(taker), "127.0.0.1", 0)
    keeper = asyncio.create_task(taker.keep_time())
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.setblocking(False)  # noqa: FBT003 - its only argument
        await loop.sock_connect(client, server.sockets[0].getsockname())
        yield client
    keeper.cancel()
    server.close()


async def until(condition):
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - nobody rings
            await asyncio.sleep(0.01)


async def read_all(client, count):
    got = 0
    while got < count and (data := await receive(client, MIB)):
        got += len(data)
    return got


def receive(client, count):
    return asyncio.get_running_loop().sock_recv(client, count)


def send(client, wire):
    return asyncio.get_running_loop().sock_sendall(client, wire)


@pytest.mark.parametrize("wire", [GET, CLOSING])
def test_who_reads_slowly_but_on_gets_the_whole_answer(wire):
    async def main():
        taker = Taker(16 * MIB, write_s=0.6)
        async with connected(taker) as client:
            await send(client, wire)
            slow = 0
            until_s = time.monotonic() + 2.5
            while time.monotonic() < until_s:
                await asyncio.sleep(0.05)
                slow += await read_all(client, 192 * 1024)
            return slow + await read_all(client, 16 * MIB - slow)

    assert uvloop.run(main()) >= 16 * MIB


def test_who_reads_no_more_is_cut_off():
    async def main():
        taker = Taker(16 * MIB, write_s=0.2)
        async with connected(taker) as client:
            await send(client, GET)
            await until(lambda: taker.connections)
            await until(lambda: not taker.connections)
            return taker.has_all_back()

    assert uvloop.run(main())


def test_an_unread_answer_takes_from_what_bodies_may_take():
    async def main():
        taker = Taker(16 * MIB, allowed_bytes=20 * MIB)
        async with connected(taker) as client:
            await send(client, GET)
            await until(lambda: taker.answered and not taker.has_all_back())
            before = taker.has_all_back()
            await read_all(client, 16 * MIB)
            await until(taker.has_all_back)
            return before

    assert uvloop.run(main()) is False


def test_an_unread_answer_for_which_there_is_no_memory_is_given_up():
    async def main():
        taker = Taker(16 * MIB, allowed_bytes=MIB)
        async with connected(taker) as client:
            await send(client, GET)
            await until(lambda: taker.answered)
            await until(lambda: not taker.connections)
            return taker.has_all_back()

    assert uvloop.run(main())


def test_no_request_is_taken_while_answers_before_it_are_unread():
    async def main():
        taker = Taker(MIB)
        async with connected(taker) as client:
            await send(client, GET * 40)
            await until(lambda: taker.answered)
            await asyncio.sleep(0.1)
            unread = taker.answered
            await read_all(client, 40 * MIB)
            return unread, taker.answered

    unread, answered = uvloop.run(main())
    assert unread < 20
    assert answered == 40
