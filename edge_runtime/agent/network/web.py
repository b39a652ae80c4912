"""The agent's way to the network: HTTP with caps and deadlines, no retries.

Nothing is read without a cap, no call waits without a limit, no redirect is
followed. Retries belong to the loop. Reading the bucket goes through one seam
for credentials, which are renewed once, here, where the bucket refuses them.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import urllib3

from edge_runtime.agent.errors import RefusedError, UnavailableError
from edge_runtime.agent.network.quiet import Quiet
from edge_runtime.agent.network.timed_pool import (
    Traffic,
    begin_request,
    begin_wait,
    timed_pool,
)
from packhorse.errors import MalformedError
from packhorse.strict_json import Fields, decode_json

CONNECT_S = 10.0
READ_S = 30.0
"""Longest silence within an answer."""

HEAD_S = 60.0
"""Longest time until the whole head of an answer is there."""

BODY_S = 60.0
"""Longest time for a small body: metadata, a document."""

CHUNK_BYTES = 65_536
REPLY_MAX_BYTES = 65_536
"""Answers to a POST are a line of JSON; more is not for us."""

SAID_MAX = 1_000
"""Characters of the cloud's own word on why it refuses."""

_REFUSED = frozenset({401, 403})


def open_pool(tls: ssl.SSLContext | None = None) -> urllib3.PoolManager:
    """Return a pool for a `Web`; `tls` says which servers are trusted."""
    return timed_pool(connect_s=CONNECT_S, read_s=READ_S, tls=tls)


class Credentials(Protocol):
    """What lets this device read the bucket."""

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the headers for a request to `url`."""

    def replace(self, refused: Mapping[str, str], status: int) -> Mapping[str, str]:
        """Return other headers than those refused; none where that is in vain."""


class NoCredentials:
    """Read the bucket as anybody may."""

    def headers(self, url: str) -> Mapping[str, str]:
        """Return none."""
        del url
        return {}

    def replace(self, refused: Mapping[str, str], status: int) -> Mapping[str, str]:
        """Return none: a refusal is the answer."""
        del refused, status
        return {}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str]
    chunks: Callable[[int, float], Iterator[bytes]]
    """Yields the body: at most so many bytes, for at most so many seconds."""


@dataclass(frozen=True, slots=True)
class Web:
    """Makes requests. One per process: it keeps connections.

    Attributes:
        traffic: Counts what this one asked for, also where several share a pool.
        quiet: Until when those that were asked want to be left alone.
    """

    credentials: Credentials = field(default_factory=NoCredentials)
    pool: urllib3.PoolManager = field(default_factory=open_pool)
    head_s: float = HEAD_S
    body_s: float = BODY_S
    traffic: Traffic = field(default_factory=Traffic)
    quiet: Quiet = field(default_factory=Quiet)

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        """Ask for `url`, with the credentials for the bucket.

        Raises:
            UnavailableError: No answer came, or it broke off.
        """
        own = self.credentials.headers(url)
        with _answered(url):
            response = self._open(url, {**(headers or {}), **own})
            try:
                other = self._replaced(own, response.status)
                if other:
                    response.close()
                    response = self._open(url, {**(headers or {}), **other})
                yield Answer(
                    status=response.status,
                    headers=response.headers,
                    chunks=lambda limit, most_s: _chunks(response, limit, most_s),
                )
            finally:
                # What is left unread may be endless. A connection whose answer was
                # read to its end went back to the pool, and stays open.
                response.close()

    def _open(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        begin_request(self.head_s, self.traffic)
        response = self.pool.request(
            "GET",
            url,
            headers={"Accept-Encoding": "identity", **headers},
            preload_content=False,
            redirect=False,
        )
        self.quiet.note(response.status, response.headers)
        return response

    def _replaced(self, own: Mapping[str, str], status: int) -> Mapping[str, str]:
        return self.credentials.replace(own, status) if status in _REFUSED else {}

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Send JSON; return status and body, cut after `REPLY_MAX_BYTES`.

        Raises:
            UnavailableError: No answer came, or it broke off.
        """
        headers = {"Content-Type": "application/json"}
        with _answered(url):
            begin_request(self.head_s, self.traffic)
            response = self.pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                preload_content=False,
                redirect=False,
            )
            self.quiet.note(response.status, response.headers)
            try:
                reply = b"".join(_chunks(response, REPLY_MAX_BYTES, READ_S))
            finally:
                response.close()
        return response.status, reply


def read_reply(reply: bytes, limit_bytes: int = REPLY_MAX_BYTES) -> Fields:
    """Return the fields of the cloud's answer to a POST.

    Raises:
        MalformedError: It is longer than `limit_bytes`, or no object.
    """
    value = decode_json(reply, what="answer", limit_bytes=limit_bytes)
    return Fields(value, "the answer")


def refusal(reply: bytes, what: str) -> RefusedError:
    """Make the error of an answer that refuses `what`."""
    said, is_revoked = "", False
    try:
        fields = read_reply(reply)
        said = fields.text("error", max_length=SAID_MAX)
        is_revoked = fields.optional("is_revoked") is True
    except MalformedError:
        pass  # not the cloud's own words; whoever stands before it refused
    reason = f"refused {what}: {said or 'no reason given'}"
    return RefusedError(reason, is_revoked=is_revoked)


def _chunks(
    response: urllib3.BaseHTTPResponse, limit_bytes: int, most_s: float
) -> Iterator[bytes]:
    """Yield the body until its end, or one chunk past the limit or the time."""
    deadline = time.monotonic() + most_s
    begin_wait(most_s)
    left = limit_bytes
    while left > 0:
        # read1 returns what has come; read would wait for a whole chunk.
        chunk = response.read1(min(left, CHUNK_BYTES), decode_content=False)
        if not chunk:
            return
        left -= len(chunk)
        yield chunk
        if time.monotonic() > deadline:
            raise UnavailableError(f"an answer took longer than {most_s:g} s")


@contextmanager
def _answered(url: str) -> Iterator[None]:
    """Turn what urllib3 raises into an error of ours."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        host = urllib3.util.parse_url(url).netloc
        reason = "gave no usable answer"
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            # What this machine's own OpenSSL says, not the server.
            reason = f"is not trusted: {cause.verify_message}"
        raise UnavailableError(f"{host} {reason}") from error
