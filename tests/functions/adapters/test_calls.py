"""Each of Google's ways to fail becomes one of ours, without its words."""

from concurrent import futures

import pytest
import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors

from functions.adapters.calls import upstream
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError

URL = "https://storage.googleapis.com/secret-bucket"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (google_errors.NotFound(URL), UpstreamRefusedError),
        (google_errors.Forbidden(URL), UpstreamRefusedError),
        (google_errors.TooManyRequests(URL), UpstreamUnavailableError),
        (google_errors.ServiceUnavailable(URL), UpstreamUnavailableError),
        (google_errors.InternalServerError(URL), UpstreamUnavailableError),
        (google_errors.GoogleAPICallError(URL), UpstreamUnavailableError),
        (google_errors.RetryError(URL, None), UpstreamUnavailableError),
        (requests.ConnectionError(URL), UpstreamUnavailableError),
        (requests.Timeout(URL), UpstreamUnavailableError),
        (auth_errors.DefaultCredentialsError(URL), UpstreamUnavailableError),
        (futures.TimeoutError(), UpstreamUnavailableError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_googles_errors_become_ours(error, expected):
    with pytest.raises(expected) as raised, upstream("storage"):
        raise error

    assert "secret-bucket" not in str(raised.value)
    assert raised.value.__cause__ is error


def test_a_programmers_mistake_stays_one():
    with pytest.raises(TypeError), upstream("storage"):
        raise TypeError
