"""The agent's way to the network: HTTP with caps and deadlines, no retries.

Nothing is read without a cap, no call waits without a limit, no redirect is
followed. Retries belong to the loop. Reading the bucket goes through one seam
for credentials: a function that returns the headers to send.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import urllib3

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.timed_pool import begin_wait, timed_pool

CONNECT_S = 10.0
READ_S = 30.0
"""Longest silence within an answer."""

HEAD_S = 60.0
"""Longest time until the whole head of an answer is there."""

CHUNK_BYTES = 65_536
REPLY_MAX_BYTES = 65_536
"""Answers to a POST are a line of JSON; more is not for us."""

Credentials = Callable[[], Mapping[str, str]]
"""Returns the headers that let this device read the bucket."""


def no_credentials() -> Mapping[str, str]:
    """Read the bucket as anybody may."""
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
    """Makes requests. One per process: it keeps connections."""

    credentials: Credentials = no_credentials
    pool: urllib3.PoolManager = field(
        default_factory=lambda: timed_pool(connect_s=CONNECT_S, read_s=READ_S)
    )
    head_s: float = HEAD_S

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        """Ask for `url`, with the credentials for the bucket.

        Raises:
            UnavailableError: No answer came, or it broke off.
        """
        sent = {"Accept-Encoding": "identity", **self.credentials(), **(headers or {})}
        with _answered(url):
            begin_wait(self.head_s)
            response = self.pool.request(
                "GET", url, headers=sent, preload_content=False, redirect=False
            )
            try:
                yield Answer(
                    status=response.status,
                    headers=response.headers,
                    chunks=lambda limit, most_s: _chunks(response, limit, most_s),
                )
            finally:
                # Not released: what is left unread may be endless.
                response.close()

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Send JSON; return status and body, cut after `REPLY_MAX_BYTES`.

        Raises:
            UnavailableError: No answer came, or it broke off.
        """
        headers = {"Content-Type": "application/json"}
        with _answered(url):
            begin_wait(self.head_s)
            response = self.pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                preload_content=False,
                redirect=False,
            )
            try:
                reply = b"".join(_chunks(response, REPLY_MAX_BYTES, READ_S))
            finally:
                response.close()
        return response.status, reply


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
        raise UnavailableError(f"{host} gave no usable answer") from error
