"""How python-tuf reaches the network: through `web.py`, capped and timed.

The rest of python-tuf's fetcher writes to temporary files without a limit on
time; metadata is small, so it is held in memory here.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
)
from tuf.ngclient import FetcherInterface

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web

REFUSAL_MAX_BYTES = 4_096
"""Read of the body of an answer that is not 200, to keep the connection."""

_OK = 200


class TufFetcher(FetcherInterface):
    """Fetches metadata for an `Updater`."""

    def __init__(
        self, web: Web, fetched: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        """Fetch through `web` what is not among the bodies in `fetched`, by URL."""
        self._web = web
        self._fetched = fetched

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the body at `url`, of at most `max_length` bytes.

        Raises:
            DownloadHTTPError: The answer is not 200.
            DownloadLengthMismatchError: It is longer.
            DownloadError: No whole answer came.
        """
        try:
            body = self._fetched.get(url) or self._get(url, max_length + 1)
        except UnavailableError as error:
            raise DownloadError(str(error)) from error
        if len(body) > max_length:
            raise DownloadLengthMismatchError(
                f"metadata may have {max_length} bytes here, this has more"
            )
        return body

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Refuse: `download_bytes` is all that the agent lets python-tuf use."""
        raise DownloadError(f"expected a metadata file, got a target: {url}")

    def _get(self, url: str, limit_bytes: int) -> bytes:
        with self._web.get(url) as answer:
            if answer.status == _OK:
                return b"".join(answer.chunks(limit_bytes, self._web.body_s))
            # Read, so that the connection serves the next request too.
            b"".join(answer.chunks(REFUSAL_MAX_BYTES, self._web.body_s))
        raise DownloadHTTPError(
            f"the repository answered {answer.status}", answer.status
        )
