"""Google access tokens, for services that take one as a password."""

import google.auth
from google.auth.transport.requests import Request

from functions.adapters.calls import upstream

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class AccessToken:
    """The token of this function's service account, renewed when it grows old."""

    def __init__(self) -> None:
        """Find the credentials where google-auth finds them."""
        with upstream("Google's token service"):
            self._credentials, _ = google.auth.default(scopes=[_SCOPE])

    def __call__(self) -> str:
        """Return a token that is valid for some minutes at least.

        Raises:
            UpstreamUnavailableError: None can be had now.
        """
        if not self._credentials.valid:
            with upstream("Google's token service"):
                self._credentials.refresh(Request())  # type: ignore[no-untyped-call]  # google-auth's
        return str(self._credentials.token)
