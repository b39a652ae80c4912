"""Ack ids: which delivery of which message an acknowledgement speaks of."""

import base64
import binascii
import re
from typing import NamedTuple, Self

from local_cloud.pubsub.errors import InvalidArgumentError

_PLAIN = re.compile(r"delivery:([0-9]{1,19}):([0-9]{1,9})")


class AckId(NamedTuple):
    """One delivery.

    Attributes:
        message_id: The message.
        attempt: How often it had been delivered, this time counted.
    """

    message_id: int
    attempt: int

    def encode(self) -> str:
        """Return the opaque form that travels."""
        plain = f"delivery:{self.message_id}:{self.attempt}"
        return base64.urlsafe_b64encode(plain.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read the opaque form; refuse what this server never gave out."""
        try:
            match = _PLAIN.fullmatch(base64.urlsafe_b64decode(text).decode())
        except (binascii.Error, ValueError):
            match = None
        if match is None:
            raise InvalidArgumentError(
                f"expected an ack id that this server gave out, got {text[:80]!r}"
            )
        return cls(int(match[1]), int(match[2]))
