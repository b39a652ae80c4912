"""Errors of the edge runtime. They know nothing of HTTP; `replies.py` does.

EdgeError
├── SettingsError        this process is set up wrong; a person mends it
├── SlotError            a slot's files contradict its marker, or it has none
├── ModelError           the model cannot be loaded, or failed while it ran
├── ControlError         the supervisor cannot be reached, or said no
├── WorkerError          a worker did not become ready, or died
└── FetchError           the serving container could not get its bundle
"""


class EdgeError(Exception):
    """Base of every error that the edge runtime raises on purpose."""


class SettingsError(EdgeError):
    """A setting is missing or wrong; the message names it."""


class SlotError(EdgeError):
    """A slot cannot be used as asked: it is empty, or its files changed."""


class ModelError(EdgeError):
    """A model file was refused, or the model failed while it ran."""


class ControlError(EdgeError):
    """The supervisor could not be reached, or refused what it was asked."""


class WorkerError(EdgeError):
    """A worker process did not become ready, or ended unasked."""


class FetchError(EdgeError):
    """The serving container's bundle could not be fetched."""
