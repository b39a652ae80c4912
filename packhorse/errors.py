"""Errors of what both sides share. They know nothing of HTTP or of files.

PackhorseError
├── MalformedError               what came is not what the format says
│   ├── LimitExceededError           it is longer, deeper or more than allowed
│   └── TensorError                  a prediction request contradicts the model
└── UntrustedError               nobody trusted vouches for it
"""


class PackhorseError(Exception):
    """Base of every error that the shared code raises on purpose."""


class MalformedError(PackhorseError):
    """What came does not follow its format."""


class LimitExceededError(MalformedError):
    """What came is longer, deeper or more than its format allows."""


class TensorError(MalformedError):
    """A prediction request contradicts itself or the model."""


class UntrustedError(PackhorseError):
    """Nothing that is trusted vouches for what came."""
