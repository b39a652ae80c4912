"""Errors of the edge runtime. They know nothing of HTTP; `replies.py` does.

EdgeError
├── SettingsError        this process is set up wrong; a person mends it
├── SlotError            a slot's files contradict its marker, or it has none
├── ModelError           the model cannot be loaded, or failed while it ran
│   └── OverrunError     it was stopped: it ran longer than it may
├── UnknownModelError    no model of that name or version is served here
├── NotAllowedError      it would have to be allowed by a setting first
├── ControlError         the supervisor cannot be reached, or said no
│   └── NoSupervisorError    none runs now
├── WorkerError          a worker did not become ready, or died
│   └── KilledError          it was killed from outside
├── BenchError           the server that is measured does not answer as it should
└── FetchError           the serving container could not get its bundle
    └── AwayError            Cloud Storage gave no answer now; it may later

MalformedError, of packhorse
└── UnknownCodingError   the request is compressed in a way nobody here knows
"""

from packhorse.errors import MalformedError


class EdgeError(Exception):
    """Base of every error that the edge runtime raises on purpose."""


class SettingsError(EdgeError):
    """A setting is missing or wrong; the message names it."""


class SlotError(EdgeError):
    """A slot cannot be used as asked: it is empty, or its files changed."""


class ModelError(EdgeError):
    """A model file was refused, or the model failed while it ran."""


class OverrunError(ModelError):
    """The model was stopped, since it ran longer than it may here."""


class UnknownModelError(EdgeError):
    """No model of that name, or no such version of it, is served here."""


class NotAllowedError(EdgeError):
    """It was asked for something that a setting must allow first."""


class ControlError(EdgeError):
    """The supervisor could not be reached, or refused what it was asked."""


class NoSupervisorError(ControlError):
    """No supervisor runs here now, so nothing was asked; one may come."""


class WorkerError(EdgeError):
    """A worker process did not become ready, or ended unasked."""


class KilledError(WorkerError):
    """A worker, or a process of it, was killed from outside: no word on its release."""


class BenchError(EdgeError):
    """A server could not be measured as it was asked."""


class FetchError(EdgeError):
    """The serving container's bundle could not be fetched."""


class AwayError(FetchError):
    """Cloud Storage gave no usable answer now; it may later."""


class UnknownCodingError(MalformedError):
    """A request's body has a content coding that is not understood here."""
