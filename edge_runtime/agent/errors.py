"""Errors of the update agent. They are answered in one place, `loop.py`.

EdgeError
└── AgentError
    ├── UnavailableError         a service did not do its part; time may cure it
    ├── DamagedError             what an earlier stage left is gone or changed
    ├── ReleaseRefusedError      this release must not run here; it is remembered
    └── TryError                 the try itself did not work; the release may be good
"""

from edge_runtime.errors import EdgeError


class AgentError(EdgeError):
    """Base of every error that the agent raises on purpose."""


class UnavailableError(AgentError):
    """A service gave no usable answer; the loop asks again later."""


class DamagedError(AgentError):
    """What a stage stands on is not what the stage before left; pull again."""


class ReleaseRefusedError(AgentError):
    """The release was found bad on this gateway; the message says why."""


class TryError(AgentError):
    """Our own part of the try failed, which says nothing about the release."""
