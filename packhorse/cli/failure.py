"""The one way in which the command fails: a sentence on standard error, exit 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import requests

from packhorse.errors import PackhorseError


class CommandError(click.ClickException):
    """The command cannot do what it was asked; the message says why, and what to do."""


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn errors of ours and of the network into sentences.

    Raises:
        CommandError: In place of what was raised.
    """
    try:
        yield
    except PackhorseError as error:
        raise CommandError(str(error)) from error
    except requests.Timeout as error:
        raise CommandError(
            f"{_host(error)} gave no answer in time; try again"
        ) from error
    except requests.RequestException as error:
        raise CommandError(
            f"{_host(error)} could not be reached; is its address right?"
        ) from error
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{name}{error.strerror or error}") from error


def _host(error: requests.RequestException) -> str:
    url = error.request.url if error.request is not None else None
    return str(url).split("?", maxsplit=1)[0] if url else "the server"
