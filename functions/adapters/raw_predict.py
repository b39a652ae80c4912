"""Send a golden sample to a Vertex AI endpoint, byte for byte, and read the answer.

Blocking, for a function that proves parity and is called once for each release;
the prediction function has a client of its own, `upstream/`. Nothing is retried
here, and an answer is handed on whatever its status.

Source: Vertex AI, `PredictionService.RawPredict`
"""

from contextlib import suppress
from dataclasses import dataclass

import google.auth
import urllib3
from google.auth import exceptions as auth_errors
from google.auth.transport.urllib3 import Request

from functions.errors import UpstreamRefusedError, UpstreamUnavailableError

_NAME = "Vertex AI"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CONNECT_TIMEOUT_S = 5.0
"""A region that takes no connection by then will not answer in time either."""
ANSWER_MAX_BYTES = 16 * 1024**2
"""Above every limit of Vertex AI's, below a function's 32 MB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answered.

    Attributes:
        status: Vertex AI's own, or the container's.
        body: As it came, at most `ANSWER_MAX_BYTES`.
    """

    status: int
    body: bytes


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
            retries=False, headers={"User-Agent": "packhorse"}
        )
        self._auth = Request(self._pool)  # type: ignore[no-untyped-call]  # google-auth's
        try:
            self._credentials, _ = google.auth.default(scopes=[_SCOPE])
        except auth_errors.GoogleAuthError as error:
            raise UpstreamUnavailableError(f"no credential for {_NAME}") from error
        # A request must not wait for a token while the old one is still good.
        with suppress(AttributeError):
            self._credentials.with_non_blocking_refresh()  # type: ignore[no-untyped-call]  # google-auth's

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
        headers = {"Content-Type": content_type, **self._authorisation(url)}
        connect_s = min(CONNECT_TIMEOUT_S, timeout_s)
        try:
            response = self._pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect_s, read=timeout_s),
                redirect=False,
                preload_content=False,
            )
            try:
                return Answer(response.status, _read(response))
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise UpstreamUnavailableError(f"{_NAME} gave no usable answer") from error

    def _authorisation(self, url: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            self._credentials.before_request(  # type: ignore[no-untyped-call]  # google-auth's
                self._auth, "POST", url, headers
            )
        except auth_errors.GoogleAuthError as error:
            raise UpstreamUnavailableError(f"no credential for {_NAME}") from error
        return headers


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    body = response.read(ANSWER_MAX_BYTES + 1, decode_content=False)
    if len(body) > ANSWER_MAX_BYTES:
        response.close()
        raise UpstreamRefusedError(
            f"{_NAME} answered more than {ANSWER_MAX_BYTES} bytes"
        )
    return body
