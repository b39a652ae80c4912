"""The function `operate`, the command's only door to the ledger."""

import shlex
import subprocess
from collections.abc import Callable, Mapping
from typing import TypeVar

import click
import requests

from packhorse.cli.failure import CommandError
from packhorse.errors import MalformedError
from packhorse.strict_json import decode_json

TIMEOUT_S = 30.0
REPLY_MAX_BYTES = 16 * 1024**2
_TOKEN_TIMEOUT_S = 30.0
_CLIENT_ERROR = 400
F = TypeVar("F", bound=Callable[..., object])


def operate_option(*, required: bool = True) -> Callable[[F], F]:
    """Give a command the option `--operate-url`."""
    return click.option(
        "--operate-url",
        envvar="PACKHORSE_OPERATE_URL",
        show_envvar=True,
        required=required,
        help="URL of the function `operate`.",
    )


def token_option(command: F) -> F:
    """Give a command the options that say how to get an identity token."""
    return click.option(
        "--token-command",
        "token",
        envvar="PACKHORSE_TOKEN_COMMAND",
        show_envvar=True,
        default="gcloud auth print-identity-token",
        show_default=True,
        help="Command that prints an identity token for `operate`.",
    )(command)


class Operate:
    """Calls to the function `operate`."""

    def __init__(self, url: str, token_command: str | None) -> None:
        """Call `url` with the token that `token_command` prints."""
        self._url = url.rstrip("/")
        self._token = _run(token_command) if token_command else ""

    def get(self, path: str) -> Mapping[str, object]:
        """Read a resource."""
        return self._call("GET", path)[0]

    def get_with_tag(self, path: str) -> tuple[Mapping[str, object], str]:
        """Read a resource and the ETag that names this state of it."""
        return self._call("GET", path)

    def post(
        self, path: str, body: Mapping[str, object], *, tag: str | None = None
    ) -> Mapping[str, object]:
        """Ask for a change, where `tag` is given only to the state that it names."""
        headers = {"If-Match": tag} if tag else {}
        return self._call("POST", path, body=body, headers=headers)[0]

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, object], str]:
        reply = requests.request(
            method,
            f"{self._url}/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}", **(headers or {})},
            timeout=TIMEOUT_S,
        )
        document = _document(reply)
        if reply.status_code >= _CLIENT_ERROR:
            reason = document.get("error") or f"it answered {reply.status_code}"
            raise CommandError(str(reason))
        return document, reply.headers.get("ETag", "")


def _document(reply: requests.Response) -> Mapping[str, object]:
    try:
        document = decode_json(
            reply.content, what="reply of operate", limit_bytes=REPLY_MAX_BYTES
        )
    except MalformedError:
        document = {}
    return document if isinstance(document, dict) else {}


def _run(command: str) -> str:
    """Return what the token command prints."""
    words = shlex.split(command)
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            words, check=True, capture_output=True, text=True, timeout=_TOKEN_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise CommandError(
            f"no identity token: `{command}` failed; "
            "say how to get one with --token-command"
        ) from error
    return done.stdout.strip()
