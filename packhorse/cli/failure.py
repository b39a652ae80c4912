"""The one way in which the command fails: a sentence on standard error, exit 1."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import click
import requests

from packhorse.cli.output import plain
from packhorse.errors import PackhorseError

_SENTENCE_MAX = 2_000


class CommandError(click.ClickException):
    """The command cannot do what it was asked; the message says why, and what to do."""

    def format_message(self) -> str:
        """Return the message on one line that cannot steer a terminal."""
        return plain(" ".join(self.message.split()))[:_SENTENCE_MAX]


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn whatever goes wrong into a sentence.

    Raises:
        CommandError: In place of what was raised.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except BrokenPipeError:
        # Whoever read our output has seen enough; click ends without a word.
        raise
    except KeyboardInterrupt as error:
        raise CommandError("interrupted") from error
    except Exception as error:
        raise CommandError(sentence(error)) from error


def sentence(error: Exception) -> str:
    """Say in a sentence what went wrong."""
    if isinstance(error, PackhorseError):
        return str(error)
    if isinstance(error, requests.RequestException):
        return _network_sentence(error)
    if isinstance(error, OSError):
        drop_output()
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "this machine has too little memory for that"
    return (
        f"packhorse itself failed ({type(error).__name__}: {error}); "
        "`packhorse --debug ...` shows where, please report it"
    )


def drop_output() -> None:
    """Let what could not be written be lost, before Python tries again at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _network_sentence(error: requests.RequestException) -> str:
    host = _host(error)
    if isinstance(error, requests.Timeout):
        return f"{host} gave no answer in time; try again"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{host} has no certificate that this machine trusts"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy on the way to {host} did not let us through"
    if isinstance(error, requests.exceptions.InvalidHeader):
        return "the token holds characters that no token has"
    if isinstance(error, requests.ConnectionError):
        return f"{host} could not be reached; is its address right?"
    return f"{host} gave no usable answer; is its address right?"


def _host(error: requests.RequestException) -> str:
    """Name the server, without the path, the query and what may stand before it."""
    url = getattr(error.request, "url", None)
    with suppress(ValueError):
        parts = urlsplit(str(url or ""))
        if parts.hostname:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return "the server"
