"""`python -m bench.predict.upstream`: Vertex AI, as fast as Python can play it.

Answers `:predict`, `:rawPredict` and the endpoint's own page. Predictions come
after a pause that costs no processor time; it reads bodies and looks at nothing
in them, so that the one in front is what is measured.

Source: Vertex AI, `PredictionService.Predict`, `RawPredict`; the headers of an
answer: `X-Vertex-AI-Endpoint-Id`, `X-Vertex-AI-Deployed-Model-Id`.
"""

import argparse
import asyncio
import json
from typing import Protocol, cast

import httptools
import uvloop

from bench.predict.samples import DEPLOYED_ID, ENDPOINT, PREDICTIONS, RELEASE

_HEAD = (
    "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=UTF-8\r\n"
    "X-Vertex-AI-Endpoint-Id: 2\r\nX-Vertex-AI-Deployed-Model-Id: {deployed}\r\n"
    "Content-Length: {length}\r\n\r\n"
)
_MODEL = "projects/packhorse-demo/locations/europe-west4/models/9"


class _Writes(Protocol):
    """What is used of a transport."""

    def write(self, data: bytes, /) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...


def _reply(status: str, document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    head = _HEAD.format(status=status, deployed=DEPLOYED_ID, length=len(body))
    return head.encode() + body


_RAW = _reply("200 OK", {"predictions": PREDICTIONS})
_PREDICTED = _reply(
    "200 OK",
    {
        "predictions": PREDICTIONS,
        "deployedModelId": DEPLOYED_ID,
        "model": _MODEL,
        "modelDisplayName": RELEASE,
        "modelVersionId": "1",
    },
)
_PAGE = _reply(
    "200 OK",
    {
        "name": ENDPOINT,
        "displayName": "serving",
        "deployedModels": [
            {"id": DEPLOYED_ID, "displayName": RELEASE, "model": _MODEL}
        ],
        "trafficSplit": {DEPLOYED_ID: 100},
    },
)
_NOT_FOUND = _reply("404 Not Found", {"error": {"code": 404}})


class _Connection(asyncio.Protocol):
    """One client; its requests are answered in order."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._writes: _Writes | None = None
        self._target = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no asyncio.WriteTransport, but does what one does.
        self._writes = cast("_Writes", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._writes is not None:
                self._writes.close()

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_message_complete(self) -> None:
        path = self._target.partition(b"?")[0]
        if path.endswith(b":rawPredict"):
            self._loop.call_later(self._pause_s, self._write, _RAW)
        elif path.endswith(b":predict"):
            self._loop.call_later(self._pause_s, self._write, _PREDICTED)
        else:
            self._write(_PAGE if path == f"/v1/{ENDPOINT}".encode() else _NOT_FOUND)

    def _write(self, reply: bytes) -> None:
        if self._writes is not None and not self._writes.is_closing():
            self._writes.write(reply)


async def _serve(port: int, pause_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(pause_s), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m bench.predict.upstream")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pause-ms", type=float, default=20.0, help="[20]")
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.port, arguments.pause_ms / 1000))


if __name__ == "__main__":
    main()
