"""The function `operate`, the command's only door to the ledger."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import click
import requests

from packhorse.cli.failure import CommandError, sentence
from packhorse.cli.options import Decorator, grouped, parse_url, parsed
from packhorse.cli.token_command import run_token_command
from packhorse.cli.web import LATER, TIMEOUTS_S, AwayError, read_body
from packhorse.errors import MalformedError
from packhorse.strict_json import decode_json

REPLY = "operate's reply"
REPLY_MAX_BYTES = 16 * 1024**2
PATIENCE_S = 60.0
"""How long who waits for something puts up with a server that is away."""

_PAUSE_S = 1.0
_TOKEN_AGE_S = 60.0
"""A token younger than this is not refused for its age."""
_ERROR, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_SERVER_ERROR = 500

Document = Mapping[str, object]


class RefusedError(CommandError):
    """`operate` said no.

    Attributes:
        status: The HTTP status it said it with.
        is_own: Whether the words are its own, and not of something before it.
    """

    def __init__(self, message: str, status: int, *, is_own: bool) -> None:
        """Keep the status for whoever can go on from it."""
        super().__init__(message)
        self.status, self.is_own = status, is_own


@dataclass(frozen=True, slots=True)
class Reply:
    """What `operate` answered.

    Attributes:
        tag: Names the state that was read; empty where there is none.
    """

    document: Document
    tag: str


class Operate:
    """Calls to the function `operate`."""

    def __init__(self, operate_url: str, token_command: str) -> None:
        """Call `operate_url` with the tokens that `token_command` prints."""
        self._url = operate_url
        self._token_command = token_command
        self._token = ""
        self._token_since = 0.0
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def get(self, path: str, *, patience_s: float = 0.0) -> Document:
        """Read a resource; while `operate` is away, ask again for so long."""
        until = time.monotonic() + patience_s
        while True:
            try:
                return self.read(path).document
            except AwayError:
                if time.monotonic() + _PAUSE_S > until:
                    raise
            time.sleep(_PAUSE_S)

    def read(self, path: str) -> Reply:
        """Read a resource with the ETag that names this state of it."""
        return self._call("GET", path, None, {})

    def post(self, path: str, body: Document, *, tag: str = "") -> Document:
        """Ask for a change, where `tag` is given only to the state that it names."""
        headers = {"If-Match": tag} if tag else {}
        return self._call("POST", path, body, headers).document

    def _call(
        self, method: str, path: str, body: Document | None, headers: Mapping[str, str]
    ) -> Reply:
        reply = self._send(method, path, body, headers)
        if reply.status_code == _UNAUTHORIZED and self._may_be_expired():
            reply.close()
            self._token = ""
            reply = self._send(method, path, body, headers)
        content = read_body(reply, what="operate", limit_bytes=REPLY_MAX_BYTES)
        if reply.status_code >= _ERROR:
            raise _refusal(reply.status_code, _error(content))
        return Reply(self._decode(content), reply.headers.get("ETag", ""))

    def _send(
        self, method: str, path: str, body: Document | None, headers: Mapping[str, str]
    ) -> requests.Response:
        if not self._token:
            self._token = run_token_command(self._token_command)
            self._token_since = time.monotonic()
        try:
            return self._session.request(
                method,
                f"{self._url}/v1/{path}",
                json=body,
                headers=headers,
                auth=self._sign,
                timeout=TIMEOUTS_S,
                stream=True,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise AwayError(f"operate: {sentence(error)}") from error

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token; a header would give way to a line in ~/.netrc."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _may_be_expired(self) -> bool:
        return time.monotonic() - self._token_since > _TOKEN_AGE_S

    def _decode(self, content: bytes) -> Document:
        try:
            document = decode_json(content, what=REPLY, limit_bytes=REPLY_MAX_BYTES)
        except MalformedError as error:
            raise self._stranger() from error
        if not isinstance(document, dict):
            raise self._stranger()
        return document

    def _stranger(self) -> CommandError:
        return CommandError(
            f"what answers at {self._url} does not speak as operate does; "
            "is --operate-url right?"
        )


def operate_options(*, required: bool = True) -> Decorator:
    """Give a command the argument `operate`, None where no URL is given."""

    def build(operate_url: str | None, token_command: str) -> Operate | None:
        if not operate_url:
            return None
        operate = Operate(operate_url, token_command)
        click.get_current_context().call_on_close(operate.close)
        return operate

    url = click.option(
        "--operate-url",
        envvar="PACKHORSE_OPERATE_URL",
        show_envvar=True,
        required=required,
        callback=parsed(parse_url),
        metavar="URL",
        help="URL of the function `operate`.",
    )
    token = click.option(
        "--token-command",
        envvar="PACKHORSE_TOKEN_COMMAND",
        show_envvar=True,
        default="gcloud auth print-identity-token",
        show_default=True,
        metavar="COMMAND",
        help="Command that prints an identity token for `operate`.",
    )
    return grouped("operate", build, url, token)


def _error(content: bytes) -> str:
    """Return the sentence in which `operate` refuses, if it is one."""
    try:
        document = decode_json(content, what=REPLY, limit_bytes=REPLY_MAX_BYTES)
    except MalformedError:
        return ""
    said = document.get("error") if isinstance(document, dict) else None
    return said if isinstance(said, str) else ""


def _refusal(status: int, said: str) -> CommandError:
    message = said or f"operate answered {status}"
    if status == _UNAUTHORIZED:
        message += "; does --token-command print an identity token for operate?"
    elif status == _FORBIDDEN and not said:
        message += "; you are not among those whom operate lets in"
    elif status == _NOT_FOUND and not said:
        message += "; is --operate-url right?"
    elif status >= _SERVER_ERROR:
        message += "; try again in a moment"
    if status in LATER:
        return AwayError(message)
    return RefusedError(message, status, is_own=bool(said))
