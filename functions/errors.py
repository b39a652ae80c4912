"""Errors of the cloud side. They know nothing of HTTP; `replies.py` does.

CloudError
├── SettingsError                this process is set up wrong
├── ReleaseRefusedError          the release stops here; a person decides
├── RolloutError                 the rollout's records contradict themselves
├── NotFoundError                nothing of that name was ever recorded
├── ConflictError                the record changed meanwhile, or says otherwise
│   └── StaleError                   it is not what the caller's If-Match names
├── PreconditionMissingError     a change came without saying what it changes
├── ReportRefusedError           a report that must not be counted
├── EnrolmentRefusedError        no valid one-time token came with the key
├── DeviceRefusedError           we know the device, and refuse it what it asks
├── UnauthorisedError            the caller did not prove who it is
│   └── NotAllowedError              it did, and may not call this
└── UpstreamError                a service we call did not do its part
    ├── UpstreamRefusedError         it said no; a retry cannot help
    └── UpstreamUnavailableError     it may say yes later; retry with backoff
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


class UpstreamError(CloudError):
    """A service that a function depends on did not do its part."""


class UpstreamRefusedError(UpstreamError):
    """The service said no; asking again cannot help."""


class UpstreamUnavailableError(UpstreamError):
    """The service gave no answer in time, or asked us to come back later."""
