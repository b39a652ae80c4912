"""Carry out `http.*` calls as Workflows does.

Source: Google Workflows, "Make an HTTP request", "Access HTTP response data
saved in a variable" and "Workflow errors"
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping

import requests
import urllib3

from local_cloud.workflows.errors import Value, WorkflowError, runtime_error

RESPONSE_MAX_BYTES = 2 * 1024 * 1024
"""Google's limit for an HTTP response."""
TIMEOUT_MAX_S = 1800.0
_CHUNK_BYTES = 64 * 1024
_OK_FROM, _OK_BELOW = 200, 300

TokenSource = Callable[[str], str]
"""Returns an ID token for an audience."""


class HttpCalls:
    """Makes requests in the name of the workflow's service account."""

    def __init__(self, id_token: TokenSource) -> None:
        """Ask `id_token` for every call whose auth is OIDC."""
        self._id_token = id_token

    def call(self, method: str, arguments: Mapping[str, Value]) -> Value:
        """Return `{body, code, headers}` of a 2xx answer.

        Raises:
            WorkflowError: HttpError for any other status; ConnectionError,
                TimeoutError, AuthError or ResourceLimitError without one.
        """
        url = arguments["url"]
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise runtime_error("ValueError", f"url: expected http(s)://, {url!r} came")
        timeout_s = _timeout(arguments.get("timeout"))
        headers = {
            "Connection": "close",
            **_headers(arguments, self._authorize(url, arguments)),
        }
        with _translated(url), requests.Session() as session:
            session.trust_env = False
            response = session.request(
                method,
                url,
                params=_query(arguments.get("query")),
                data=_body(arguments.get("body"), headers),
                headers=headers,
                timeout=timeout_s,
                allow_redirects=False,
                stream=True,
            )
            body = _read(response, time.monotonic() + timeout_s)
        return _answer(response, body)

    def _authorize(self, url: str, arguments: Mapping[str, Value]) -> dict[str, str]:
        auth = arguments.get("auth")
        if not isinstance(auth, dict):
            return {}
        token = self._id_token(str(auth.get("audience", url)))
        return {"Authorization": f"Bearer {token}"}


def _timeout(value: Value) -> float:
    if value is None:
        return TIMEOUT_MAX_S
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise runtime_error("ValueError", f"timeout: expected seconds, {value!r} came")
    return min(float(value), TIMEOUT_MAX_S)


def _headers(arguments: Mapping[str, Value], own: dict[str, str]) -> dict[str, str]:
    given = arguments.get("headers") or {}
    if not isinstance(given, dict):
        raise runtime_error("TypeError", "headers: expected a map")
    return {**{name: str(value) for name, value in given.items()}, **own}


def _query(value: Value) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: str(one) for name, one in value.items()}


def _body(value: Value, headers: dict[str, str]) -> bytes | None:
    """Encode a body; a map or list goes as JSON unless the headers say otherwise."""
    if value is None:
        return None
    if isinstance(value, str):
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return value.encode()
    headers.setdefault("Content-Type", "application/json; charset=utf-8")
    return json.dumps(value, ensure_ascii=False).encode()


def _read(response: requests.Response, until: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > RESPONSE_MAX_BYTES:
            sentence = f"the response is over {RESPONSE_MAX_BYTES} bytes"
            raise runtime_error("ResourceLimitError", sentence)
        if time.monotonic() > until:
            raise runtime_error("TimeoutError", "the response took too long")
    return bytes(body)


def _answer(response: requests.Response, body: bytes) -> Value:
    headers: dict[str, Value] = {
        name.lower(): value for name, value in response.headers.items()
    }
    fields: dict[str, Value] = {
        "body": _decode(body, response.headers.get("Content-Type", "")),
        "code": response.status_code,
        "headers": headers,
    }
    if _OK_FROM <= response.status_code < _OK_BELOW:
        return fields
    message = f"HTTP server responded with error code {response.status_code}"
    raise runtime_error("HttpError", message, **fields)


def _decode(body: bytes, content_type: str) -> Value:
    kind = content_type.partition(";")[0].strip().lower()
    text = body.decode(errors="replace")
    if kind != "application/json" or not text:
        return text
    try:
        decoded: Value = json.loads(text)
    except ValueError as error:
        sentence = "the response says it is JSON and is none"
        raise runtime_error("ResponseTypeError", sentence) from error
    return decoded


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what `requests` raises into errors of Workflows."""
    try:
        yield
    except requests.Timeout as error:
        raise runtime_error("TimeoutError", f"no answer in time from {url}") from error
    except requests.RequestException as error:
        raise _lost(url, error) from error


def _lost(url: str, error: requests.RequestException) -> WorkflowError:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    tags: list[Value] = ["ConnectionError"]
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        tags.append("ConnectionFailedError")
    return WorkflowError({"message": f"the connection to {url} failed", "tags": tags})
