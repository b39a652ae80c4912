"""A real gateway that is asked twice as much as it can answer."""

import asyncio
import contextlib
import json
import re
import time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.edge_runtime.gateways import Gateway
from tests.models import onnx_bytes

AHEAD_MAX = 8
WIDTH = 1024
BODY = json.dumps(
    {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        ]
    }
).encode()
LATE_BODY = BODY.replace(b'{"inputs"', b'{"parameters":{"timeout_ms":1},"inputs"')


def post(body, *lines):
    head = ["POST /v2/models/heavy/infer HTTP/1.1", "Host: g", *lines]
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


WIRE = post(BODY)


def heavy_model():
    """Return a model of some milliseconds: four numbers, multiplied often."""
    value = helper.make_tensor_value_info
    random = np.random.default_rng(1)
    square = random.normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5
    nodes = [helper.make_node("MatMul", ["x", "wide"], ["h0"])]
    nodes += [
        helper.make_node("MatMul", [f"h{i}", "square"], [f"h{i + 1}"])
        for i in range(12)
    ]
    nodes.append(helper.make_node("ReduceMean", ["h12"], ["y"], keepdims=1))
    return onnx_bytes(
        nodes,
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 1])],
        [
            numpy_helper.from_array(np.ones((4, WIDTH), np.float32), "wide"),
            numpy_helper.from_array(square, "square"),
        ],
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    home = tmp_path_factory.mktemp("overload")
    (home / "state").mkdir()
    (home / "models" / "heavy" / "1").mkdir(parents=True)
    (home / "models" / "heavy" / "1" / "model.onnx").write_bytes(heavy_model())
    gateway = Gateway(
        home / "state",
        PACKHORSE_MODELS_DIR=str(home / "models"),
        PACKHORSE_BATCHES_AHEAD_MAX=str(AHEAD_MAX),
    )
    gateway.wait_serving()
    yield gateway
    assert gateway.stop() == 0


class Client:
    """One connection that is kept open."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, wire=WIRE):
        """Send a request; return its status and its head."""
        self.writer.write(wire)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        await self.reader.readexactly(length)
        return int(head.split()[1]), head


@contextlib.asynccontextmanager
async def connected(gateway, count):
    pairs = [asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(count)]
    clients = [Client(*pair) for pair in await asyncio.gather(*pairs)]
    yield clients
    for client in clients:
        client.writer.close()
    await asyncio.gather(*(client.writer.wait_closed() for client in clients))


async def capacity(gateway):
    """Return the answers per second that four busy clients get."""

    async def keep_asking(client, until_s):
        count = 0
        while time.monotonic() < until_s:
            status, _ = await client.ask()
            assert status == 200
            count += 1
        return count

    async with connected(gateway, 4) as clients:
        until_s = time.monotonic() + 0.7
        counts = await asyncio.gather(*(keep_asking(c, until_s) for c in clients))
    return sum(counts) / 0.7


async def flood(gateway, rate, seconds):
    """Send `rate` requests a second, whatever comes back."""
    answers, tasks = [], set()
    async with connected(gateway, 200) as clients:
        idle = list(clients)

        async def ask_once(client):
            answers.append(await client.ask())
            idle.append(client)

        begun_s = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun_s + number / rate - time.monotonic()))
            if idle:
                tasks.add(asyncio.create_task(ask_once(idle.pop())))
        await asyncio.gather(*tasks)
    return answers


def metric(gateway, name, **labels):
    text = gateway.get("/metrics")[2].decode()
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [
        line
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and all(w in line for w in wanted)
    ]
    assert len(lines) == 1, lines
    return float(lines[0].rsplit(" ", 1)[1])


def test_at_twice_its_capacity_nobody_stands_behind_too_many_batches(gateway):
    async def main():
        return await flood(gateway, 2 * await capacity(gateway), 2.0)

    answers = asyncio.run(main())
    statuses = {status for status, _ in answers}
    assert statuses == {200, 503}
    assert all(b"Retry-After: 1" in head for status, head in answers if status == 503)
    labels = {"model": "heavy", "release": "heavy@1"}
    name = "packhorse_batches_ahead_bucket"
    within = metric(gateway, name, **labels, le=f"{AHEAD_MAX}.0")
    assert within == metric(gateway, name, **labels, le="+Inf")
    assert within > metric(gateway, name, **labels, le="0.0")


def test_what_is_refused_is_refused_at_once(gateway):
    async def main():
        async with connected(gateway, 100) as clients:
            begun_s = time.monotonic()

            async def timed(client):
                status, _ = await client.ask()
                return status, time.monotonic() - begun_s

            return await asyncio.gather(*(timed(client) for client in clients))

    answers = asyncio.run(main())
    refused = [took_s for status, took_s in answers if status == 503]
    answered = [took_s for status, took_s in answers if status == 200]
    assert len(refused) > 50
    assert sorted(refused)[len(refused) // 2] < max(answered)


@pytest.mark.parametrize(
    "wire", [post(BODY, "X-Request-Timeout: 0.001"), post(LATE_BODY)]
)
def test_no_request_waits_past_its_deadline(gateway, wire):
    async def main():
        async with connected(gateway, 8) as clients:
            others = [asyncio.create_task(client.ask()) for client in clients[:-1]]
            await asyncio.sleep(0)
            status, _ = await clients[-1].ask(wire)
            return (
                status,
                [status for status, _ in await asyncio.gather(*others)],
            )

    status, others = asyncio.run(main())
    assert (status, set(others)) == (504, {200})
