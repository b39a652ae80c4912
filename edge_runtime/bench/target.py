"""Where to send predictions, and what the server says of its model.

Source: Open Inference Protocol, inference_rest.md; Triton's
extension_model_repository.md, "Index"
"""

import http.client
import json
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import BenchError
from packhorse.errors import MalformedError
from packhorse.manifest import TensorSpec

DOCUMENT_MAX_BYTES = 4 * 1024 * 1024
"""Of what a server says of itself; ours says about 1 kB of a model."""

ANSWER_S = 30.0
"""Time for one answer, here and under load: as long as our server's own runs."""

_PORTS = {"http": 80, "https": 443}
_MODEL_PATH = re.compile(
    r"(?P<prefix>.*?)/v2/models/(?P<model>[^/]+)(/versions/(?P<version>[^/]+))?(/infer)?"
)


class _RefusedError(BenchError):
    """The server answers, and not with what was asked."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server and one of its models.

    Attributes:
        host: Name or address, without brackets.
        prefix: What stands before `/v2` in its paths.
        model: Empty until it is known.
        tls: Set for https.
        headers: Sent with every request.
    """

    host: str
    port: int
    prefix: str = ""
    model: str = ""
    version: str = ""
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        """What stands in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def model_path(self) -> str:
        """The path of the model, which its metadata is at."""
        name = urllib.parse.quote(self.model, safe="")
        path = f"{self.prefix}/v2/models/{name}"
        if self.version:
            path += f"/versions/{urllib.parse.quote(self.version, safe='')}"
        return path

    @property
    def infer_path(self) -> str:
        """Where predictions are asked for."""
        return f"{self.model_path}/infer"

    @property
    def url(self) -> str:
        """The whole address, for people."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.authority}{self.infer_path}"


def parse_target(url: str, *, ca_file: Path | None, token: str) -> Target:
    """Read an address of a server, or of one of its models.

    Raises:
        BenchError: It is no such address, or the file of authorities is none.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise BenchError(f"expected a URL, came {url!r}: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.username:
        raise BenchError(f"expected a URL as http://127.0.0.1:8080, came {url!r}")
    path = parts.path.rstrip("/")
    match = _MODEL_PATH.fullmatch(path)
    named = match.groupdict() if match else {"prefix": path.removesuffix("/v2")}
    return Target(
        host=parts.hostname,
        port=port,
        prefix=named["prefix"] or "",
        model=urllib.parse.unquote(named.get("model") or ""),
        version=urllib.parse.unquote(named.get("version") or ""),
        tls=_tls(ca_file) if parts.scheme == "https" else None,
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise BenchError(f"--ca-file {ca_file} cannot be used: {error}") from error


def find_model(target: Target) -> str:
    """Return the name of the server's only model.

    Raises:
        BenchError: It has none, or several, or does not say.
    """
    try:
        index = _ask(target, "POST", f"{target.prefix}/v2/repository/index", b"{}")
    except _RefusedError as error:
        raise BenchError(f"say --model NAME: {error}") from error
    if not isinstance(index, list):
        raise BenchError("say --model NAME: the server's index is no list")
    entries = [entry for entry in index if isinstance(entry, dict)]
    names = sorted({str(entry.get("name", "")) for entry in entries} - {""})
    if len(names) != 1:
        raise BenchError(f"say --model NAME; there are {', '.join(names) or 'none'}")
    return names[0]


def read_inputs(target: Target) -> tuple[TensorSpec, ...]:
    """Ask what the model takes.

    Raises:
        BenchError: The server does not say, or says what cannot be.
    """
    document = _ask(target, "GET", target.model_path)
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list):
        raise BenchError(f"{target.model_path} names no list of inputs")
    try:
        return tuple(
            TensorSpec(
                entry["name"], entry["datatype"], tuple(map(int, entry["shape"]))
            )
            for entry in inputs
        )
    except (KeyError, TypeError, ValueError, MalformedError) as error:
        raise BenchError(f"{target.model_path} has an input that is none") from error


def _ask(target: Target, method: str, path: str, body: bytes | None = None) -> object:
    """Ask one question that is answered in JSON."""
    connection = _connect(target)
    headers = {**target.headers, "Content-Type": "application/json"}
    with closing(connection):
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read(DOCUMENT_MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{target.authority} does not answer: {error}") from error
    if answer.status != http.client.OK:
        reason = text[:200].decode("utf-8", "replace")
        raise _RefusedError(f"{path} answers {answer.status}: {reason}")
    try:
        document: object = json.loads(text[:DOCUMENT_MAX_BYTES])
    except ValueError as error:
        raise BenchError(f"{path} answers no JSON") from error
    return document


def _connect(target: Target) -> http.client.HTTPConnection:
    if target.tls is None:
        return http.client.HTTPConnection(target.host, target.port, timeout=ANSWER_S)
    return http.client.HTTPSConnection(
        target.host, target.port, timeout=ANSWER_S, context=target.tls
    )
