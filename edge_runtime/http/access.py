"""Who is let in: bearer tokens.

Health needs no token: what asks for it is a load balancer, which has none, and
learns nothing but whether to send others here.

Source: RFC 6750, 2.1 and 3; RFC 9110, 11
"""

import hashlib
import hmac
from collections.abc import Iterable

from edge_runtime.http.head import Head
from edge_runtime.http.replies import Reply, error_reply
from edge_runtime.settings.access_settings import AccessSettings

OPEN_PATHS = frozenset({b"/v2/health/live", b"/v2/health/ready"})

_SCHEME = b"bearer "
_NO_TOKEN = error_reply(
    401,
    "expected the header Authorization: Bearer …, came none",
    (("WWW-Authenticate", 'Bearer realm="packhorse"'),),
)
_WRONG_TOKEN = error_reply(
    401,
    "expected a token of this server's, came another",
    (("WWW-Authenticate", 'Bearer realm="packhorse", error="invalid_token"'),),
)


class Access:
    """Looks at a request's token before anybody looks at the request."""

    def __init__(
        self, settings: AccessSettings, *, open_paths: Iterable[bytes] = ()
    ) -> None:
        """Take the hashes of the tokens.

        Args:
            settings: What clients must show.
            open_paths: Paths that need no token, beside those of health.
        """
        self._digests = [bytes.fromhex(text) for text in settings.tokens_sha256]
        self._open_paths = OPEN_PATHS.union(open_paths)

    def check(self, head: Head) -> Reply | None:
        """Return the refusal of a request; None lets it pass.

        A microsecond: a hash of what came is compared with every hash that is
        known, in a time that depends on neither.
        """
        if not self._digests or head.path in self._open_paths:
            return None
        shown = [value for name, value in head.headers if name == b"authorization"]
        if len(shown) != 1 or shown[0][: len(_SCHEME)].lower() != _SCHEME:
            return _NO_TOKEN
        digest = hashlib.sha256(shown[0][len(_SCHEME) :].strip()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return None if found else _WRONG_TOKEN
