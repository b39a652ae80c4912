"""Errors of the cloud side. They know nothing of HTTP; `replies.py` does.

CloudError
├── SettingsError                this process is set up wrong
├── ReleaseRefusedError          the release stops here; a person decides
├── RolloutError                 the rollout's records contradict themselves
├── NotFoundError                nothing of that name was ever recorded
├── MethodError                  it is there, but not for this method
├── EncodingError                a body came in a coding that nobody here takes off
├── SlowBodyError                a body did not come in time
├── StoppingError                this process ends before it could answer
├── ConflictError                the record changed meanwhile, or says otherwise
│   └── StaleError                   it is not what the caller's If-Match names
├── PreconditionMissingError     a change came without saying what it changes
├── ReportRefusedError           a report that must not be counted
├── EnrolmentRefusedError        no valid one-time token came with the key
├── DeviceRefusedError           we know the device, and refuse it what it asks
├── UnauthorisedError            the caller did not prove who it is
│   └── NotAllowedError              it did, and may not call this
├── OverloadedError              we took no more; the caller may come back
├── LateAnswerError              the caller's time was over before the answer came
└── UpstreamError                a service we call did not do its part
    ├── UpstreamRefusedError         it said no; a retry cannot help
    │   └── BrokenAnswerError            what it said is no answer
    └── UpstreamUnavailableError     it may say yes later; retry with backoff
        ├── NotSentError                 it never saw the request
        └── CircuitOpenError             we do not ask it for a while
"""


class CloudError(Exception):
    """Base of every error that the cloud side raises on purpose."""


class SettingsError(CloudError):
    """A setting is missing or wrong; the message names it."""


class ReleaseRefusedError(CloudError):
    """The release stops here until a person decides."""


class RolloutError(CloudError):
    """The records of a rollout contradict themselves."""


class NotFoundError(CloudError):
    """Nothing of that name was ever recorded."""


class MethodError(CloudError):
    """What is asked for is there, but not by this method.

    Attributes:
        allowed: The methods that it is there for.
    """

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        """Keep what would have been allowed."""
        super().__init__(message)
        self.allowed = allowed


class EncodingError(CloudError):
    """The body came in a coding that nobody here takes off."""


class SlowBodyError(CloudError):
    """The body did not come in the time that the whole answer may take."""


class StoppingError(CloudError):
    """This process ends before it could answer; another one can."""


class ConflictError(CloudError):
    """The record changed since it was read, or already says otherwise."""


class StaleError(ConflictError):
    """The record is not the one that the caller's `If-Match` names."""


class PreconditionMissingError(CloudError):
    """A change came without an `If-Match` that says what it changes."""


class ReportRefusedError(CloudError):
    """The report must not be counted: replayed with another content."""


class EnrolmentRefusedError(CloudError):
    """The key came without a token that admits a device."""


class DeviceRefusedError(CloudError):
    """The device is known, and does not get what it asks for.

    Attributes:
        told: What its program must know to go on, beside the sentence.
    """

    def __init__(self, message: str, **told: object) -> None:
        """Keep what the answer tells."""
        super().__init__(message)
        self.told = told


class UnauthorisedError(CloudError):
    """The caller did not prove who it is."""


class NotAllowedError(UnauthorisedError):
    """The caller proved who it is, and may not call this function."""


class OverloadedError(CloudError):
    """This process has as much under way as it can carry.

    Attributes:
        retry_after_s: When asking again may help.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep when to come back."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LateAnswerError(CloudError):
    """The deadline passed before the whole answer was there."""


class UpstreamError(CloudError):
    """A service that a function depends on did not do its part."""


class UpstreamRefusedError(UpstreamError):
    """The service said no; asking again cannot help."""


class UpstreamUnavailableError(UpstreamError):
    """The service gave no answer in time, or asked us to come back later."""


class BrokenAnswerError(UpstreamRefusedError):
    """The connection broke under the answer, or what came is none.

    The service may have done what it was asked.
    """


class NotSentError(UpstreamUnavailableError):
    """Not one byte of the request went out, so it may always be sent again."""


class CircuitOpenError(UpstreamUnavailableError):
    """The service failed too often just now to be asked again at once.

    Attributes:
        retry_after_s: When asking again may help.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep when to come back."""
        super().__init__(message)
        self.retry_after_s = retry_after_s
