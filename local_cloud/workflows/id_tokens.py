"""Get ID tokens from the metadata server, as google-auth would.

Source: Google Compute Engine, "Verifying the identity of instances"
"""

import time

import requests

from local_cloud.workflows.errors import runtime_error

_PATH = "computeMetadata/v1/instance/service-accounts/default/identity"
TIMEOUT_S = 5.0
PATIENCE_S = 30.0
"""Google's metadata server is never away; the local one may be starting again."""
_PAUSE_S = 0.5


class MetadataTokens:
    """Asks the metadata server at `host`, which is `NAME:PORT`."""

    def __init__(self, host: str, *, patience_s: float = PATIENCE_S) -> None:
        """Hold the address, and how long to wait for a server that is away."""
        self._url = f"http://{host}/{_PATH}"
        self._patience_s = patience_s

    def __call__(self, audience: str) -> str:
        """Return an ID token of the workflow's service account.

        Raises:
            WorkflowError: AuthError; there is none to be had.
        """
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._fetch(audience)
            except requests.RequestException as error:
                if time.monotonic() > until:
                    sentence = "the metadata server gives no ID token"
                    raise runtime_error("AuthError", sentence) from error
                time.sleep(_PAUSE_S)

    def _fetch(self, audience: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(
                self._url,
                params={"audience": audience, "format": "full"},
                headers={"Metadata-Flavor": "Google"},
                timeout=TIMEOUT_S,
            )
        response.raise_for_status()
        return response.text.strip()
