"""A bucket on loopback that counts: static objects, conditional and ranged reads.

Answers `GET /metadata/…` and `GET /targets/…` from a folder as Cloud Storage
answers plain reads, with the headers that it sends; 202 to reports; and
`GET /counts` with what was asked since the last time, as JSON. What is counted is
what went over the wire, heads included.

Runs as a process of its own: `python -m bench.fleet.bucket FOLDER`; the first line
of its output is its port.

Source: RFC 9110, 13.1.2 "If-None-Match" and 14.2 "Range"
"""

import asyncio
import base64
import hashlib
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

HEAD_MAX_BYTES = 65_536
BODY_MAX_BYTES = 65_536
READ_S = 60.0


@dataclass(slots=True)
class Count:
    """Requests of one kind, and the bytes that went each way."""

    requests: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    sent_body_bytes: int = 0


@dataclass(slots=True)
class Bucket:
    """The objects of one folder."""

    folder: Path
    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; say whether there may be another."""
        async with asyncio.timeout(READ_S):
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = head.decode("latin-1").partition("\r\n")
            headers = _headers(rest)
            length_bytes = min(int(headers.get("content-length", 0)), BODY_MAX_BYTES)
            await reader.readexactly(length_bytes)
        path = line.split(" ")[1]
        answer = self._answer(line.split(" ")[0], path, headers)
        count = self.counts[_kind(path)]
        count.requests += 1
        count.received_bytes += len(head) + length_bytes
        count.sent_bytes += len(answer)
        count.sent_body_bytes += len(answer.partition(b"\r\n\r\n")[2])
        writer.write(answer)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        if path == "/counts":
            return _reply(HTTPStatus.OK, self._take_counts())
        if method == "POST":
            return _reply(HTTPStatus.ACCEPTED, b"{}")
        try:
            body = (self.folder / path.lstrip("/")).read_bytes()
        except OSError:
            return _reply(
                HTTPStatus.NOT_FOUND, b"<Error><Code>NoSuchKey</Code></Error>"
            )
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if headers.get("if-none-match") == etag:
            return _reply(HTTPStatus.NOT_MODIFIED, b"", etag)
        first = headers.get("range", "").removeprefix("bytes=").rstrip("-")
        if first:
            where = f"bytes {first}-{len(body) - 1}/{len(body)}"
            part = body[int(first) :]
            return _reply(HTTPStatus.PARTIAL_CONTENT, part, etag, where)
        return _reply(HTTPStatus.OK, body, etag)

    def _take_counts(self) -> bytes:
        """Return what was counted, and begin anew."""
        found = {
            kind: [c.requests, c.received_bytes, c.sent_bytes, c.sent_body_bytes]
            for kind, c in self.counts.items()
            if kind != "counts"
        }
        self.counts.clear()
        return json.dumps(found).encode()


def _kind(path: str) -> str:
    """Return which kind of object a path names."""
    if path.startswith("/targets/"):
        return path.split("/")[2]
    if path.startswith("/metadata/"):
        return "timestamp" if path.endswith("/timestamp.json") else "metadata"
    return path.lstrip("/")


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n") if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _reply(
    status: HTTPStatus, body: bytes, etag: str = "", content_range: str = ""
) -> bytes:
    """Write an answer with the headers that Cloud Storage sends with an object."""
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    headers = {
        "Content-Length": str(len(body)),
        "Content-Type": "application/json",
        "ETag": etag,
        "Content-Range": content_range,
        "x-goog-generation": "1795405356096210",
        "x-goog-metageneration": "1",
        "x-goog-stored-content-encoding": "identity",
        "x-goog-stored-content-length": str(len(body)),
        "x-goog-hash": f"crc32c=C6qQQA==,md5={base64.b64encode(md5).decode()}",
        "x-goog-storage-class": "STANDARD",
        "accept-ranges": "bytes",
        "Last-Modified": "Mon, 23 Nov 2026 03:42:36 GMT",
        "Date": "Mon, 23 Nov 2026 03:42:36 GMT",
        "Cache-Control": "no-store",
        "Server": "UploadServer",
    }
    if status is HTTPStatus.NOT_MODIFIED:
        del headers["Content-Length"], headers["x-goog-hash"]
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    head = "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *lines])
    return head.encode() + b"\r\n\r\n" + body


async def _main(folder: Path) -> None:
    bucket = Bucket(folder)
    server = await asyncio.start_server(
        bucket.serve, "127.0.0.1", 0, limit=HEAD_MAX_BYTES, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
