"""What the command prints: sentences for people, JSON for programs.

Results go to standard output, everything else to standard error; colours and
moving things appear on a terminal only. Names and reasons come from elsewhere:
nothing of them reaches a terminal but characters that print.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.status import Status
from rich.text import Text

_errors = Console(stderr=True)
F = TypeVar("F", bound=Callable[..., object])


def json_option(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document."
    )(command)


def plain(text: object) -> str:
    r"""Return a text on one line, with what could steer a terminal made visible.

    Control characters, and those that reverse the direction of writing, come
    out as `\x1b` and `\u202e`.
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def say(*lines: object) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(plain(line))


def hint(line: object) -> None:
    """Print a line that is no result, to standard error."""
    click.echo(plain(line), err=True)


def show(document: object, *lines: object, as_json: bool) -> None:
    """Print a result, as JSON or as lines of text."""
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        say(*lines)


def is_terminal() -> bool:
    """Say whether a person looks on."""
    return sys.stderr.isatty()


class Working:
    """A line on the terminal that moves while something takes its time."""

    def __init__(self, status: Status | None) -> None:
        """Steer `status`; None where nobody looks on."""
        self._status = status

    def tell(self, what: object) -> None:
        """Say what is being waited for now."""
        if self._status is not None:
            self._status.update(Text(plain(what)))

    def say(self, *lines: object) -> None:
        """Print results while the line stands still."""
        if self._status is not None:
            self._status.stop()
        say(*lines)
        if self._status is not None:
            self._status.start()


@contextmanager
def working(what: str) -> Iterator[Working]:
    """Show on a terminal that something takes its time."""
    if not is_terminal():
        yield Working(None)
        return
    with _errors.status(Text(plain(what))) as status:
        yield Working(status)


@contextmanager
def transferring(what: str, length_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of a file has gone; give what counts bytes."""
    if not is_terminal():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeLeftColumn(),
    )
    with Progress(*columns, console=_errors, transient=True) as progress:
        task = progress.add_task(plain(what), total=length_bytes)
        yield lambda count: progress.advance(task, count)
