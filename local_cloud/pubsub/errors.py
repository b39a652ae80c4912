"""What a request can be refused for. `server.py` turns each into a gRPC status.

PubsubError
├── InvalidArgumentError     the request can never be right
├── NotFoundError            it names a topic or subscription that is not there
├── TakenError               it would make what is there already
├── PreconditionError        right, but not for this subscription or this server
├── UnknownFeatureError      Google has it, this stand-in does not
└── TokenUnavailableError    the identity stand-in gave no token; later it may
"""


class PubsubError(Exception):
    """Base of every refusal."""


class InvalidArgumentError(PubsubError):
    """The request can never be right."""


class NotFoundError(PubsubError):
    """The request names what is not there."""


class TakenError(PubsubError):
    """The request would make what is there already."""


class PreconditionError(PubsubError):
    """The request is right, but not for this subscription or this server."""


class UnknownFeatureError(PubsubError):
    """Google has it, this stand-in does not."""


class TokenUnavailableError(PubsubError):
    """The identity stand-in gave no token; later it may."""
