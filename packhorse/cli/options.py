"""Options that several commands share, or that belong together."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import TypeVar

import click

from packhorse.cli.output import plain
from packhorse.errors import MalformedError

Command = Callable[..., None]
Decorator = Callable[[Command], Command]
T = TypeVar("T")

_URL = re.compile(r"https?://[^\s/@?#]+(?:/[^\s?#]*)?")
_URL_MAX = 2_000


def examples(*lines: str) -> str:
    """Return the end of a help text, with a line for each example."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def parsed(
    parse: Callable[[str], T],
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make a callback that reads an option or argument, or calls it wrong usage."""

    def callback(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> T | None:
        del context, parameter
        if value is None:
            return None
        try:
            return parse(value)
        except MalformedError as error:
            raise click.BadParameter(plain(error)) from error

    return callback


def parse_url(text: str) -> str:
    """Return an address without a slash at its end."""
    if len(text) > _URL_MAX or _URL.fullmatch(text) is None:
        raise MalformedError(
            f"an address is written as https://HOST/PATH, not {text[:100]!r}"
        )
    return text.rstrip("/")


def grouped(name: str, build: Callable[..., object], *options: Decorator) -> Decorator:
    """Give a command options, and hand them over as one argument.

    Args:
        name: The command's argument.
        build: Makes its value; its parameters are called as the options are.
        options: The options, in the order of the help text.
    """
    taken = list(inspect.signature(build).parameters)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_group(**values: object) -> None:
            value = build(**{option: values.pop(option) for option in taken})
            command(**values, **{name: value})

        decorated: Command = with_group
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
