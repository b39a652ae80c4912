"""One push request: the envelope, the token, and the answer's status."""

import urllib3
from google.pubsub_v1 import types

from local_cloud.pubsub.backlog import Delivery
from local_cloud.pubsub.envelope import wrap
from local_cloud.pubsub.errors import TokenUnavailableError
from local_cloud.pubsub.lanes import WINDOW_MAX
from local_cloud.pubsub.tokens import TokenSource

ENDPOINTS_MAX = 64
"""Endpoints whose connections are kept open."""
ANSWER_MAX_BYTES = 65_536
"""What is read of an answer, so that its connection can be used again."""


class Poster:
    """Posts deliveries to the endpoints of their subscriptions."""

    def __init__(self, tokens: TokenSource | None) -> None:
        """Sign with `tokens`, if there is an identity stand-in."""
        self._tokens = tokens
        self._pool = urllib3.PoolManager(
            num_pools=ENDPOINTS_MAX, maxsize=WINDOW_MAX, retries=False
        )

    def post(self, subscription: types.Subscription, delivery: Delivery) -> int:
        """Post one delivery and return the status of the answer.

        Raises:
            TokenUnavailableError: There was no token to sign with; nothing was posted.
            urllib3.exceptions.HTTPError: There was no answer within the ack deadline.
        """
        reply = self._pool.request(
            "POST",
            subscription.push_config.push_endpoint,
            body=wrap(subscription, delivery),
            headers=self._headers(subscription.push_config),
            timeout=float(subscription.ack_deadline_seconds),
            redirect=False,
            preload_content=False,
        )
        reply.read(ANSWER_MAX_BYTES)
        reply.release_conn()
        return reply.status

    def _headers(self, config: types.PushConfig) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "CloudPubSub-Google",
        }
        if "oidc_token" in config:
            headers["Authorization"] = f"Bearer {self._token(config)}"
        return headers

    def _token(self, config: types.PushConfig) -> str:
        if self._tokens is None:
            raise TokenUnavailableError("this server was started without --token-url")
        audience = config.oidc_token.audience or config.push_endpoint
        email = config.oidc_token.service_account_email
        return self._tokens.token(audience=audience, email=email)
