"""What the metadata server says: where a process runs, and who it is.

Source: cloud.google.com/run/docs/container-contract, "Container instance
metadata server"; google-auth, `google/auth/compute_engine/_metadata.py`
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from local_cloud.id_tokens import TOKEN_LIFETIME_S, Issuer, subject_of

METADATA = "/computeMetadata/v1/"
LOCAL_DOMAIN = "iam.localhost"
"""Of the accounts here. For one that ends as Google's do, google-auth asks Google for
its allowed locations, and shows it our token: no process here speaks to the outside."""

EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}")
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


@dataclass(frozen=True, slots=True)
class Place:
    """What the metadata says about where a process runs."""

    project: str
    region: str
    universe_domain: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: text, or JSON."""

    body: str
    status: int = 200
    content_type: str = "application/text"


def _json(value: object) -> Reply:
    return Reply(json.dumps(value), content_type="application/json")


class Desk:
    """Answers the questions of one account's processes."""

    def __init__(self, issuer: Issuer, email: str, place: Place) -> None:
        """Speak for the account `email`."""
        self._issuer = issuer
        self._email = email
        region = f"projects/{subject_of(place.project)}/regions/{place.region}"
        self._pages: Mapping[str, Callable[[], Reply]] = MappingProxyType(
            {
                "/": lambda: Reply("computeMetadata/\n"),
                "/certs": lambda: _json(issuer.jwks()),
                "/.well-known/openid-configuration": lambda: _json(
                    {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/certs"}
                ),
            }
        )
        self._metadata_pages = MappingProxyType(
            {
                "project/project-id": place.project,
                "project/numeric-project-id": subject_of(place.project),
                "instance/region": region,
                "instance/zone": f"{region}-1",
                "instance/id": subject_of(email),
                "universe/universe-domain": place.universe_domain,
                "instance/service-accounts/": f"default/\n{email}/\n",
            }
        )

    def answer(self, path: str, query: Mapping[str, str], *, has_flavor: bool) -> Reply:
        """Answer a GET of `path`."""
        if path in self._pages:
            return self._pages[path]()
        if path == "/token":
            return self._token(query.get("email", ""), query.get("audience", ""))
        if not path.startswith(METADATA):
            return Reply(f"no such page: {path}", 404)
        if not has_flavor:
            return Reply("expected the header Metadata-Flavor: Google", 403)
        return self._metadata(path.removeprefix(METADATA), query)

    def _metadata(self, page: str, query: Mapping[str, str]) -> Reply:
        if page in self._metadata_pages:
            return Reply(self._metadata_pages[page])
        parts = page.split("/")
        if parts[:2] != ["instance", "service-accounts"] or len(parts) != 4:  # noqa: PLR2004
            return Reply(f"no such metadata: {page}", 404)
        if parts[2] not in {"default", self._email}:
            return Reply(f"this process is {self._email}, not {parts[2]}", 404)
        return self._account(parts[3], query)

    def _account(self, page: str, query: Mapping[str, str]) -> Reply:
        if page == "":
            return _json(self._account_info())
        if page == "email":
            return Reply(self._email)
        if page == "scopes":
            return Reply("\n".join(_SCOPES))
        if page == "token":
            return _json(_access_token(self._email))
        if page == "identity":
            return self._token(self._email, query.get("audience", ""))
        return Reply(f"no such metadata of an account: {page}", 404)

    def _account_info(self) -> dict[str, object]:
        return {"aliases": ["default"], "email": self._email, "scopes": _SCOPES}

    def _token(self, email: str, audience: str) -> Reply:
        if not audience:
            return Reply("non-empty audience parameter required", 400)
        if not EMAIL.fullmatch(email):
            return Reply(f"expected the email of an account, got {email!r}", 400)
        return Reply(self._issuer.id_token(email=email, audience=audience))


def _access_token(email: str) -> dict[str, object]:
    """Make an access token; only the local cloud takes it, and it says whose it is."""
    return {
        "access_token": f"local.{email}.{secrets.token_urlsafe(24)}",
        "expires_in": TOKEN_LIFETIME_S,
        "token_type": "Bearer",
    }
