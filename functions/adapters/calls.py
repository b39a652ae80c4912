"""Turn what Google's libraries raise into this project's own errors.

Over REST they raise three families: their own for an HTTP error status,
`requests`' for a connection that failed, stalled or broke off, and
google-auth's when no credential could be had. A future that is waited for adds
its timeout. Messages are ours: Google's hold the URL called, which is no
business of our caller's. The original stays as `__cause__`.
"""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors

from functions.errors import UpstreamRefusedError, UpstreamUnavailableError

_LATER = frozenset({408, 429})
_SERVER_ERROR = 500


@contextmanager
def upstream(name: str) -> Iterator[None]:
    """Guard one call to the service `name`.

    Raises:
        UpstreamRefusedError: It answered with a status that a retry cannot cure.
        UpstreamUnavailableError: It answered 408, 429 or 5xx, or not at all.
    """
    try:
        yield
    except google_errors.GoogleAPICallError as error:
        raise refusal(name, int(error.code or _SERVER_ERROR)) from error
    except (
        requests.RequestException,
        google_errors.RetryError,
        auth_errors.GoogleAuthError,
        futures.TimeoutError,
    ) as error:
        raise UpstreamUnavailableError(f"{name} gave no usable answer") from error


def refusal(name: str, status: int) -> UpstreamRefusedError | UpstreamUnavailableError:
    """Make the error for a service that answered with an error status."""
    if status in _LATER or status >= _SERVER_ERROR:
        return UpstreamUnavailableError(f"{name} answered {status}")
    return UpstreamRefusedError(f"{name} answered {status}")
