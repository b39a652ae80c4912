"""Publish to one topic over REST, with the client that the prediction function has.

Google's own library is seconds of import, and a function that only passes bodies
on has no other use for it.

Source: Cloud Pub/Sub REST reference, `projects.topics.publish`
"""

import base64
import json
from collections.abc import Sequence

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.client import Upstream
from functions.adapters.upstream.origin import Origin
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError

_OK = 200
_LATER = frozenset({401, 408, 429})
_SERVER_ERROR = 500


class Topic:
    """One topic of one project."""

    def __init__(
        self, upstream: Upstream, token: BearerToken, origin: Origin, name: str
    ) -> None:
        """Publish to the topic `projects/P/topics/T`.

        Args:
            upstream: The connections.
            token: Sent over TLS only: an emulator wants none.
            origin: Where Pub/Sub answers.
            name: The topic.
        """
        self._upstream = upstream
        self._token = token
        self._origin = origin
        self._path = f"/v1/{name}:publish"

    async def publish(self, bodies: Sequence[bytes], *, deadline: float) -> None:
        """Publish messages together; returns when Pub/Sub has taken them all.

        Raises:
            UpstreamUnavailableError: Perhaps not taken; safe to call again.
            UpstreamRefusedError: The topic is missing, or closed to us.
            LateAnswerError: The deadline passed.
        """
        messages = [{"data": base64.b64encode(body).decode()} for body in bodies]
        headers = [(b"content-type", b"application/json")]
        token = b""
        if self._origin.is_tls:
            token = await self._token.value()
            headers.append((b"authorization", token))
        answer = await self._upstream.request(
            "POST",
            self._origin,
            self._path,
            headers,
            json.dumps({"messages": messages}).encode(),
            deadline=deadline,
        )
        if answer.status == _OK:
            return
        if token and answer.status == 401:  # noqa: PLR2004 - HTTP's number
            self._token.forget(token)
        is_later = answer.status in _LATER or answer.status >= _SERVER_ERROR
        kind = UpstreamUnavailableError if is_later else UpstreamRefusedError
        raise kind(f"Pub/Sub answered {answer.status}")
