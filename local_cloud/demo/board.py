"""What the visitor sees: a line a stage, and what is going on at the bottom."""

import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

_PLACE, _STAGE = 16, 38
_INDENT = " " * (_PLACE + 5)


class Board:
    """Prints lines with the time each took; moves on a terminal only."""

    def __init__(self, picture: Path | None = None) -> None:
        """Print to standard output, and in the end to the file `picture`, an SVG."""
        self._picture = picture
        self._console = Console(
            highlight=False, soft_wrap=True, record=picture is not None
        )
        self._begun = time.monotonic()

    def save_picture(self) -> None:
        """Write what was printed as an SVG, where one was asked for."""
        if self._picture is not None:
            svg = self._console.export_svg(title="make demo")
            # Without the fonts that it would fetch from elsewhere.
            self._picture.write_text(
                re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
            )

    @property
    def elapsed_s(self) -> float:
        """Return the time since the demo began."""
        return time.monotonic() - self._begun

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.print()
        self._console.print(f"[bold]{title}[/bold]")

    def line(
        self, place: str, stage: str, took_s: float | None = None, note: str = ""
    ) -> None:
        """Print that something was done somewhere, and how long it took."""
        took = f"{took_s:8.2f} s" if took_s is not None else " " * 10
        shown = _plain(note)
        where = f"[green]✓[/green] {place:<{_PLACE}} {stage:<{_STAGE}} {took}"
        self._console.print(f"  {where}  [dim]{shown}[/dim]")

    def refusal(self, place: str, sentence: str) -> None:
        """Print why something was refused, as it should be."""
        width = max(40, self._console.width - len(_INDENT) - 1)
        first, *rest = textwrap.wrap(sentence, width) or [""]
        self._console.print(f"  [yellow]✗[/yellow] {place:<{_PLACE}} {_plain(first)}")
        for line in rest:
            self._console.print(f"{_INDENT}{_plain(line)}")

    def text(self, sentence: str) -> None:
        """Print a sentence."""
        self._console.print(f"    {_plain(sentence)}")

    def failure(self, sentence: str) -> None:
        """Print what should not have been."""
        self._console.print(f"[red bold]✗ {_plain(sentence)}[/red bold]")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show at the bottom what is being waited for."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(what):
            yield

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> None:
        """Print a table."""
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(_plain, row))
        self._console.print()
        self._console.print(table)

    def commands(self, environment: Mapping[str, str], lines: Sequence[str]) -> None:
        """Print commands to try, after the variables that they need."""
        for name, value in environment.items():
            quoted = f'"{value}"' if " " in value else value
            self._console.print(f"    export {name}={_plain(quoted)}", soft_wrap=True)
        for line in lines:
            self._console.print(f"    {_plain(line)}", soft_wrap=True)


def _plain(text: str) -> str:
    """Keep square brackets from being read as markup."""
    return text.replace("[", r"\[")
