"""Errors of the edge runtime. They know nothing of HTTP; `replies.py` does.

EdgeError
├── SettingsError        this process is set up wrong; a person mends it
├── SlotError            a slot's files contradict its marker, or it has none
├── ModelError           the model cannot be loaded, or failed while it ran
│   └── OverrunError     it was stopped: it ran longer than it may
├── ControlError         the supervisor cannot be reached, or said no
├── WorkerError          a worker did not become ready, or died
│   └── KilledError          it was killed from outside
└── FetchError           the serving container could not get its bundle
    └── AwayError            Cloud Storage gave no answer now; it may later
"""


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


class ControlError(EdgeError):
    """The supervisor could not be reached, or refused what it was asked."""


class WorkerError(EdgeError):
    """A worker process did not become ready, or ended unasked."""


class KilledError(WorkerError):
    """A worker was killed from outside before it was ready: no word on its release."""


class FetchError(EdgeError):
    """The serving container's bundle could not be fetched."""


class AwayError(FetchError):
    """Cloud Storage gave no usable answer now; it may later."""
