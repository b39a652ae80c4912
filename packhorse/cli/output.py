"""What the command prints: sentences for people, JSON for programs.

Results go to standard output, everything else to standard error; colours and
moving things appear on a terminal only.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
from rich.console import Console

_errors = Console(stderr=True)
F = TypeVar("F", bound=Callable[..., object])


def json_option(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document."
    )(command)


def show(document: object, text: str, *, as_json: bool) -> None:
    """Print a result, as JSON or as text."""
    click.echo(json.dumps(document, indent=2) if as_json else text)


def is_terminal() -> bool:
    """Say whether a person looks on."""
    return sys.stderr.isatty()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    if not is_terminal():
        yield
        return
    with _errors.status(what):
        yield
