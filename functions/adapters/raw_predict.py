"""Send a prediction to a Vertex AI endpoint, byte for byte.

`rawPredict` over REST on pooled connections: the Vertex SDK would cost seconds
to import and milliseconds of CPU a request for what is a copy. Nothing is
retried here, and an answer is handed on whatever its status.

Source: Vertex AI, `PredictionService.RawPredict`; headers of its answers:
`X-Vertex-AI-Endpoint-Id`, `X-Vertex-AI-Deployed-Model-Id`.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import google.auth
import urllib3
from google.auth import exceptions as auth_errors
from google.auth.transport.urllib3 import Request

from functions.errors import UpstreamRefusedError, UpstreamUnavailableError

_NAME = "Vertex AI"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_OK = 200
CONNECT_TIMEOUT_S = 5.0
"""A region that takes no connection by then will not answer in time either."""
READ_ENDPOINT_TIMEOUT_S = 5.0
"""Only looks up a name for a header; a caller's answer waits for it."""
LOOK_AGAIN_S = 3.0
"""An unknown deployed model makes us ask again, but no more often than this."""
ANSWER_MAX_BYTES = 16 * 1024**2
"""Above every limit of Vertex AI's, below a function's 32 MB."""
ENDPOINT_MAX_BYTES = 1024**2
CONNECTIONS = 128
"""Above the function's concurrency, so that none waits or is thrown away."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answered.

    Attributes:
        status: Vertex AI's own, or the container's.
        body: As it came, at most `ANSWER_MAX_BYTES`.
        content_type: As it came; empty when none did.
        deployed_model_id: Which deployed model answered; empty when none did.
        retry_after: As it came; empty when none did.
    """

    status: int
    body: bytes
    content_type: str
    deployed_model_id: str
    retry_after: str


@dataclass(slots=True)
class _Names:
    """What an endpoint's deployed models are called, and when we last asked."""

    by_id: Mapping[str, str] = field(default_factory=dict)
    asked_at: float = float("-inf")


class RawPredict:
    """The prediction service of one region."""

    def __init__(self, api_url: str) -> None:
        """Prepare the pool; it connects at the first call.

        Args:
            api_url: `https://europe-west4-aiplatform.googleapis.com`.

        Raises:
            UpstreamUnavailableError: No credential is to be had here.
        """
        self._api_url = api_url
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS, retries=False, headers={"User-Agent": "packhorse"}
        )
        self._auth = Request(self._pool)  # type: ignore[no-untyped-call]  # google-auth's
        self._names: dict[str, _Names] = {}
        self._asking = threading.Lock()
        try:
            self._credentials, _ = google.auth.default(scopes=[_SCOPE])
        except auth_errors.GoogleAuthError as error:
            raise UpstreamUnavailableError("no credential for Vertex AI") from error
        # A request must not wait for a token while the old one is still good.
        with suppress(AttributeError):
            self._credentials.with_non_blocking_refresh()  # type: ignore[no-untyped-call]  # google-auth's

    def prepare(self) -> None:
        """Fetch the first token, so that no request waits for it.

        Raises:
            UpstreamUnavailableError: None is to be had now.
        """
        self._authorisation("GET", self._api_url)

    def call(
        self, endpoint: str, body: bytes, *, content_type: str, timeout_s: float
    ) -> Answer:
        """Send one request's body and return the answer, whatever its status.

        Args:
            endpoint: `projects/P/locations/L/endpoints/E`.
            body: Passed on unchanged.
            content_type: Passed on unchanged; Vertex AI promises no other header.
            timeout_s: For each wait on the connection, connecting apart.

        Raises:
            UpstreamUnavailableError: No usable answer came in time.
            UpstreamRefusedError: It was longer than `ANSWER_MAX_BYTES`.
        """
        url = f"{self._api_url}/v1/{endpoint}:rawPredict"
        headers = {"Content-Type": content_type}
        with self._request(
            "POST", url, headers=headers, body=body, timeout_s=timeout_s
        ) as response:
            return Answer(
                status=response.status,
                body=_read(response, ANSWER_MAX_BYTES),
                content_type=response.headers.get("Content-Type", ""),
                deployed_model_id=response.headers.get(
                    "X-Vertex-AI-Deployed-Model-Id", ""
                ),
                retry_after=response.headers.get("Retry-After", ""),
            )

    def release_of(self, endpoint: str, deployed_model_id: str) -> str:
        """Return the display name of a deployed model, `magika@2`.

        Looked up once for each id, and for an unknown one again at most every
        `LOOK_AGAIN_S` seconds.

        Returns:
            An empty string when nobody knows; a header is not worth an answer.
        """
        names = self._names.setdefault(endpoint, _Names())
        if deployed_model_id not in names.by_id:
            self._look(endpoint, names, deployed_model_id)
        return names.by_id.get(deployed_model_id, "")

    def read_releases(self, endpoint: str) -> tuple[str, ...]:
        """Return the display names of all deployed models, in order.

        Raises:
            UpstreamUnavailableError: Not to be had now.
        """
        names = self._names.setdefault(endpoint, _Names())
        self._look(endpoint, names, "")
        if not names.by_id:
            raise UpstreamUnavailableError("nothing is deployed, or Vertex AI is away")
        return tuple(sorted(names.by_id.values()))

    def _look(self, endpoint: str, names: _Names, deployed_model_id: str) -> None:
        with self._asking:
            is_recent = time.monotonic() - names.asked_at < LOOK_AGAIN_S
            if is_recent or deployed_model_id in names.by_id:
                return
            names.asked_at = time.monotonic()
            with suppress(UpstreamUnavailableError, UpstreamRefusedError):
                names.by_id = self._ask(endpoint)

    def _ask(self, endpoint: str) -> Mapping[str, str]:
        url = f"{self._api_url}/v1/{endpoint}"
        with self._request(
            "GET", url, headers={}, timeout_s=READ_ENDPOINT_TIMEOUT_S
        ) as response:
            body = _read(response, ENDPOINT_MAX_BYTES)
            if response.status != _OK:
                raise UpstreamUnavailableError(f"{_NAME} answered {response.status}")
        return _display_names(body)

    @contextmanager
    def _request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        body: bytes | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        authorised = {**headers, **self._authorisation(method, url)}
        connect_s = min(CONNECT_TIMEOUT_S, timeout_s)
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=authorised,
                timeout=urllib3.Timeout(connect=connect_s, read=timeout_s),
                redirect=False,
                preload_content=False,
            )
            try:
                yield response
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise UpstreamUnavailableError(f"{_NAME} gave no usable answer") from error

    def _authorisation(self, method: str, url: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            self._credentials.before_request(  # type: ignore[no-untyped-call]  # google-auth's
                self._auth, method, url, headers
            )
        except auth_errors.GoogleAuthError as error:
            raise UpstreamUnavailableError(f"no credential for {_NAME}") from error
        return headers


def _read(response: urllib3.BaseHTTPResponse, limit_bytes: int) -> bytes:
    body = response.read(limit_bytes + 1, decode_content=False)
    if len(body) > limit_bytes:
        response.close()
        raise UpstreamRefusedError(f"{_NAME} answered more than {limit_bytes} bytes")
    return body


def _display_names(body: bytes) -> Mapping[str, str]:
    try:
        models = json.loads(body).get("deployedModels", [])
        return {model["id"]: model["displayName"] for model in models}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UpstreamRefusedError(f"{_NAME} described no endpoint") from error
