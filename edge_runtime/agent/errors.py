"""Errors of the update agent. They are answered in one place, `loop.py`.

EdgeError
└── AgentError
    ├── UnavailableError         a service did not do its part; time may cure it
    │   ├── RefusedError             the cloud refuses this device what it asked
    │   └── KeyLostError             this device's key cannot be used, so none is asked
    ├── DamagedError             what an earlier stage left is gone or changed
    ├── ReleaseRefusedError      this release must not run here; it is remembered
    │   └── FellBackError            it served here, and does no more
    ├── WaitError                it may not be done now, says somebody here
    ├── SupersededError          the truth asks for something else by now
    ├── TryError                 the try itself did not work; the release may be good
    └── NotSwitchedError         likewise the switch; what served before goes on
"""

from collections.abc import Mapping

from edge_runtime.errors import EdgeError


class AgentError(EdgeError):
    """Base of every error that the agent raises on purpose."""


class UnavailableError(AgentError):
    """A service gave no usable answer; the loop asks again later."""


class RefusedError(UnavailableError):
    """The cloud said no to this device; only a person can change that.

    Attributes:
        is_revoked: Whether the device was sent away for good.
    """

    def __init__(self, message: str, *, is_revoked: bool = False) -> None:
        """Keep how final it is."""
        super().__init__(message)
        self.is_revoked = is_revoked


class KeyLostError(UnavailableError):
    """The device's key is gone, or cannot be read; a person mends it, or the disk."""


class DamagedError(AgentError):
    """What a stage stands on is not what the stage before left; pull again."""


class ReleaseRefusedError(AgentError):
    """The release was found bad on this gateway; the message says why.

    Attributes:
        measures: What was measured until then, for the report.
    """

    def __init__(
        self, reason: str, measures: Mapping[str, float] | None = None
    ) -> None:
        """Say why in `reason`."""
        super().__init__(reason)
        self.measures: Mapping[str, float] = measures or {}


class FellBackError(ReleaseRefusedError):
    """The release served, was found bad, and the former one serves again."""


class WaitError(AgentError):
    """The site's own rules say "not now": a window, a command, a hold.

    Attributes:
        kind: Which rule it was; the cloud is told once of each in a row.
        is_hold: Whether a person has to let it go on.
    """

    def __init__(self, reason: str, *, kind: str, is_hold: bool = False) -> None:
        """Say why in `reason`."""
        super().__init__(reason)
        self.kind = kind
        self.is_hold = is_hold


class SupersededError(AgentError):
    """What is being deployed is no longer asked for; raised within a stage."""


class TryError(AgentError):
    """Our own part of the try failed, which says nothing about the release."""


class NotSwitchedError(AgentError):
    """This machine's part of the switch failed; what served before goes on."""
