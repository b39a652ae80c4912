"""Errors of the update agent. They are answered in one place, `loop.py`.

EdgeError
└── AgentError
    ├── UnavailableError         a service did not do its part; time may cure it
    │   └── RefusedError             the cloud refuses this device what it asked
    ├── DamagedError             what an earlier stage left is gone or changed
    ├── ReleaseRefusedError      this release must not run here; it is remembered
    │   └── FellBackError            it served here, and does no more
    ├── WaitError                it may not be done now, says somebody here
    ├── SupersededError          the truth asks for something else by now
    ├── TryError                 the try itself did not work; the release may be good
    └── NotSwitchedError         likewise the switch; what served before goes on
"""

from collections.abc import Mapping
from typing import Self

from edge_runtime.errors import EdgeError
from packhorse.errors import MalformedError
from packhorse.strict_json import Fields, decode_json

REPLY_MAX_BYTES = 65_536
SAID_MAX = 1_000


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

    @classmethod
    def told_by(cls, reply: bytes, what: str) -> Self:
        """Make the error of an answer that refuses `what`."""
        said, is_revoked = "", False
        try:
            value = decode_json(reply, what="answer", limit_bytes=REPLY_MAX_BYTES)
            fields = Fields(value, "the answer")
            said = fields.text("error", max_length=SAID_MAX)
            is_revoked = fields.optional("is_revoked") is True
        except MalformedError:
            pass  # not the cloud's own words; whoever stands before it refused
        return cls(
            f"refused {what}: {said or 'no reason given'}", is_revoked=is_revoked
        )


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
