"""One request to upstream, and its answer.

Nothing is retried here but for one case: a connection that upstream closed, while
it was idle, before a byte of the answer came, is replaced once by a fresh one.

Source: RFC 9112, 9.3.1
"""

import asyncio
import functools
import ssl

from functions.adapters.upstream.answer import Answer, Headers
from functions.adapters.upstream.connection import Connection
from functions.adapters.upstream.origin import Origin
from functions.adapters.upstream.pool import Lane, Pool
from functions.errors import (
    BrokenAnswerError,
    LateAnswerError,
    NotSentError,
    OverloadedError,
)

__all__ = ["Answer", "Headers", "Upstream"]

CONNECTIONS_MAX = 256
ANSWER_MAX_BYTES = 16 * 1024**2
"""Above every limit of Vertex AI's, below a function's 32 MB."""
CONNECT_S = 5.0
"""A region that takes no connection by then will not answer in time either."""

RETRY_AFTER_S = 1.0


class Upstream:
    """Connections to every upstream of this process; of one event loop."""

    def __init__(
        self,
        *,
        connections_max: int = CONNECTIONS_MAX,
        answer_max_bytes: int = ANSWER_MAX_BYTES,
        connect_s: float = CONNECT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare the pool; it connects at the first request.

        Args:
            connections_max: To all origins together; further requests wait.
            answer_max_bytes: Of one answer's body.
            connect_s: For a name, a connection and TLS together.
            tls: In place of what the system trusts.
        """
        self._pool = Pool(connections_max)
        self._answer_max_bytes = answer_max_bytes
        self._connect_s = connect_s
        self._tls = tls

    @property
    def connections(self) -> int:
        """Connections that are idle, in use or being opened."""
        return self._pool.held

    async def request(  # noqa: PLR0913 - a request has so many parts
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: Headers,
        body: bytes = b"",
        *,
        deadline: float,
    ) -> Answer:
        """Send one request, and return the answer, whatever its status.

        Args:
            method: Any whose answers have bodies: not `HEAD`, not `CONNECT`.
            origin: Where to.
            path: Begins with a slash; visible ASCII.
            headers: But `Host`, `User-Agent`, `Accept-Encoding`, `Content-Length`,
                `Connection` and `Transfer-Encoding`, which are this client's.
            body: Sent as it is; a long one as fast as upstream takes it.
            deadline: In the loop's clock.

        Raises:
            NotSentError: Not one byte went out: no name, no connection, no TLS.
            BrokenAnswerError: The connection broke, or what came is no answer.
            LateAnswerError: The deadline passed, whatever was going on.
            OverloadedError: It did while all connections were in use.
            MalformedError: A header or the path would break its line.
        """
        loop = asyncio.get_running_loop()
        lane = self._pool.lane(origin)
        head = lane.heads.render(method, path, headers, len(body))
        now = loop.time()
        if now >= deadline:
            raise LateAnswerError("the deadline was over before the request began")
        connection = self._pool.take(lane, now) or await self._get(lane, deadline)
        try:
            answer = await connection.send(loop, head, body, deadline)
        except BrokenAnswerError:
            if not connection.is_stale:
                self._pool.throw_away(connection)
                raise
        except BaseException:
            # The answer would otherwise come to whoever is next.
            self._pool.throw_away(connection)
            raise
        else:
            self._pool.give_back(lane, connection, loop.time())
            return answer
        return await self._send_anew(lane, head, body, deadline)

    async def close(self) -> None:
        """End every connection; those in use when they have answered."""
        self._pool.close()
        await asyncio.sleep(0)

    async def _get(self, lane: Lane, deadline: float) -> Connection:
        """Return the connection that somebody gave back, or a fresh one."""
        try:
            async with asyncio.timeout_at(deadline):
                given = await self._pool.wait(lane)
        except TimeoutError as error:
            # Its own fault: whoever is asked was given nothing to be late with.
            raise OverloadedError(
                "too many requests wait for a connection here; ask again in a moment",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        if given is not None and given.is_quiet():
            return given
        return await self._open(lane, deadline)

    async def _send_anew(
        self, lane: Lane, head: bytes, body: bytes, deadline: float
    ) -> Answer:
        """Send a request that met the end of its connection once more.

        Raises:
            BrokenAnswerError: As `request`; or nobody takes a connection now, and
                the first try may have been seen.
            LateAnswerError: As `request`.
        """
        loop = asyncio.get_running_loop()
        try:
            connection = await self._open(lane, deadline)
        except NotSentError as error:
            raise BrokenAnswerError("upstream went away") from error
        try:
            answer = await connection.send(loop, head, body, deadline)
        except BaseException:
            self._pool.throw_away(connection)
            raise
        self._pool.give_back(lane, connection, loop.time())
        return answer

    async def _open(self, lane: Lane, deadline: float) -> Connection:
        """Open a connection in a place that the pool keeps for it."""
        try:
            return await self._connect(lane, deadline)
        except BaseException:
            self._pool.release()
            raise

    async def _connect(self, lane: Lane, deadline: float) -> Connection:
        origin = lane.origin
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_s)):
                _, connection = await loop.create_connection(
                    functools.partial(
                        Connection,
                        self._answer_max_bytes,
                        functools.partial(self._pool.forget, lane),
                    ),
                    origin.host,
                    origin.port,
                    ssl=self._trusted() if origin.is_tls else None,
                )
        except TimeoutError as error:
            if loop.time() >= deadline:
                raise LateAnswerError("upstream took no connection in time") from error
            raise NotSentError("upstream took no connection in time") from error
        except (OSError, ValueError) as error:
            # A name that cannot be encoded is a name that does not resolve.
            raise NotSentError("upstream took no connection") from error
        return connection

    def _trusted(self) -> ssl.SSLContext:
        """Return what TLS is made with; reading the system's authorities takes time."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
