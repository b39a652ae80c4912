"""Ask candidate endpoints, once and without any of the live traffic's patience."""

from functions.adapters.bearer_token import BearerToken
from functions.adapters.deployed_releases import DeployedReleases
from functions.adapters.upstream.client import Answer, Upstream
from functions.adapters.upstream.origin import Origin, parse_origin
from functions.setting_values import EndpointSettings

CONNECTIONS_MAX = 32
"""As many as there may be runs; apart from the live traffic's own."""

ANSWER_MAX_BYTES = 1024**2
"""Longer answers are not compared, so they need not be held either."""

_DEPLOYED_ID = "x-vertex-ai-deployed-model-id"
_REFUSED = frozenset({403, 404})
_PRECONDITION = 400
_LOOKED_AT_BYTES = 4096


class Candidates:
    """The endpoints on which candidates stand alone."""

    def __init__(
        self, upstream: Upstream, token: BearerToken, releases: DeployedReleases
    ) -> None:
        """Ask over `upstream`, whose limits are those above."""
        self._upstream = upstream
        self._token = token
        self._releases = releases
        self._origins: dict[str, Origin] = {}

    async def ask(
        self,
        endpoint: EndpointSettings,
        body: bytes,
        content_type: str,
        *,
        deadline: float,
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        Raises:
            CloudError: There is none.
        """
        origin = self._origins.get(endpoint.url)
        if origin is None:
            origin = self._origins[endpoint.url] = parse_origin(endpoint.url)
        headers = (
            (b"authorization", await self._token.value()),
            (b"content-type", content_type.encode("latin-1")),
        )
        path = f"/v1/{endpoint.name}:rawPredict"
        return await self._upstream.request(
            "POST", origin, path, headers, body, deadline=deadline
        )

    async def release_of(
        self, endpoint: EndpointSettings, answer: Answer, *, deadline: float
    ) -> str:
        """Name the release that answered; empty where nobody knows."""
        deployed_id = answer.headers.get(_DEPLOYED_ID, "")
        if not deployed_id:
            return ""
        return await self._releases.release_of(
            endpoint.name, deployed_id, deadline=deadline
        )


def has_nothing_deployed(answer: Answer) -> bool:
    """Say whether Vertex AI itself answered that nothing is there, or not for us.

    An answer of a deployed model bears its id, whatever the status.
    """
    if _DEPLOYED_ID in answer.headers:
        return False
    if answer.status in _REFUSED:
        return True
    start = answer.body[:_LOOKED_AT_BYTES]
    return answer.status == _PRECONDITION and b"FAILED_PRECONDITION" in start
