"""Ask the cloud for a token that reads this device's part of the bucket.

The request is signed and says when it was made. Where this device's clock is
wrong, the cloud refuses it and tells its own time, and the request is signed once
more with that. Nobody vouches for that time, so it is used for nothing else: no
expiry is ever judged by it.

Source: docs/protocol.md, 6.4 "The read token"
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.identity.enroll import Identity
from edge_runtime.agent.network.web import Web, read_reply, refusal
from edge_runtime.log import log
from packhorse.device_requests import TokenRequest, seal_token_request
from packhorse.errors import MalformedError

REPLY_MAX_BYTES = 16_384
TOKEN_MAX = 8_192
"""Characters; Google's have about 1,000, and a header must stay under 16 kB."""
LIFE_MAX_S = 12 * 3600

_OK, _FORBIDDEN = 200, 403
_TOKEN = r"[A-Za-z0-9._~+/=-]+"  # noqa: S105 - RFC 6750, 2.1: a pattern, not a secret


@dataclass(frozen=True, slots=True)
class ReadToken:
    """An access token, and for how long it is good, in seconds."""

    access_token: str
    expires_in_s: float


class TokenDesk:
    """Where read tokens for one model are had."""

    def __init__(self, identity: Identity, *, model: str, url: str, web: Web) -> None:
        """Ask the function device_token at `url`, as `identity`."""
        self._identity = identity
        self._model = model
        self._url = url
        self._web = web
        self._offset = timedelta(0)

    def ask(self) -> ReadToken:
        """Return a new token.

        Raises:
            RefusedError: The cloud knows this device, or its wish, and says no.
            UnavailableError: It gave no usable answer.
        """
        status, reply = self._post()
        if status == _FORBIDDEN and self._is_told_the_time(reply):
            status, reply = self._post()
        if status == _FORBIDDEN:
            raise refusal(reply, "a read token")
        if status != _OK:
            raise UnavailableError(f"the wish for a read token was answered {status}")
        token = _decode_token(reply)
        self._identity.hear(reply)
        return token

    def _post(self) -> tuple[int, bytes]:
        at = datetime.now(UTC) + self._offset
        request = TokenRequest(self._model, at)
        identity = self._identity
        body = seal_token_request(request, device=identity.device, sign=identity.sign)
        return self._web.post(self._url, body)

    def _is_told_the_time(self, reply: bytes) -> bool:
        """Move the time that requests are signed with to the one in the answer."""
        try:
            fields = read_reply(reply, REPLY_MAX_BYTES)
            now = datetime.fromisoformat(fields.text("now", max_length=40))
            self._offset = now - datetime.now(UTC)
        except (MalformedError, ValueError, TypeError):
            return False
        log("clock_differs", offset_s=round(self._offset.total_seconds()))
        return True


def _decode_token(reply: bytes) -> ReadToken:
    try:
        fields = read_reply(reply, REPLY_MAX_BYTES)
        token = fields.text("access_token", pattern=_TOKEN, max_length=TOKEN_MAX)
        return ReadToken(token, fields.integer("expires_in", high=LIFE_MAX_S))
    except MalformedError:
        # Its sentence could hold a part of the token.
        raise UnavailableError("expected a read token, came something else") from None
