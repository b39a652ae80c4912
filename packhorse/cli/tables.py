"""Tables and texts for a terminal, of what `operate` says.

Nothing of it is believed to be there, or to be of its kind; no markup, nothing
that steers a terminal.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from packhorse.cli.output import plain

Row = Mapping[str, object]

REASON_SHOWN = 120
REVOKED = "revoked"
FAILED = frozenset({"refused", "rolled_back", "failed"})

_PIPE_COLUMNS = 1_000
"""A program reads lines; nothing is folded for it."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def print_history(console: Console, document: Row) -> None:
    """Print what became of something, the oldest first."""
    table = new_table("History (UTC)", "at", "what", "why")
    for row in rows_of(document, "history"):
        why = [word_of(row, "reason"), f"by {row['by']}" if row.get("by") else ""]
        table.add_row(
            at_text(row), as_text(row.get("what")), as_text(" ".join(why).strip())
        )
    console.print(table)


def add_facts(facts: Table, document: Row, *names: str) -> None:
    """Add a row for each of the fields that says something."""
    for name in names:
        if document.get(name):
            facts.add_row(name.replace("_", " "), as_text(document[name]))


def print_more(console: Console, count: int, what: str) -> None:
    """Say how many rows were left out."""
    if count > 0:
        console.print(as_text(f"and {count} more {what}; `--all` shows them"))


def open_console() -> Console:
    """Return where results go: a terminal's width, or a program's."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    return console


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table; its column `why` takes what room there is."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for column in columns:
        is_reason = column == "why"
        table.add_column(column, overflow="fold", ratio=1 if is_reason else None)
    return table


def as_text(value: object) -> Text:
    """Make text of what came from elsewhere: no markup, nothing that steers."""
    return Text("" if value is None else plain(value))


def state_text(state: str) -> Text:
    """Colour a state that somebody should look at."""
    style = "red" if state in FAILED | {"withdrawn", "halted", REVOKED} else ""
    return Text(plain(state), style=style)


def reason_text(row: Row, *, is_full: bool) -> Text:
    """Return why, cut short unless all is wanted."""
    reason = word_of(row, "reason")
    return as_text(reason if is_full else cut(reason, REASON_SHOWN))


def cut(text: str, length: int) -> str:
    """Cut a text to so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def ago_text(row: Row, name: str) -> Text:
    """Say how long ago an instant was."""
    try:
        at = datetime.fromisoformat(word_of(row, name))
        seconds = (datetime.now(UTC) - at).total_seconds()
    except (ValueError, TypeError):
        return Text("")
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return Text(f"{int(seconds // unit_s)} {unit} ago")
    return Text(f"{max(0, int(seconds))} s ago")


def at_text(row: Row) -> Text:
    """Shorten an instant to what a person reads: UTC, to the second."""
    return as_text(word_of(row, "at")[:19].replace("T", " "))


def word_of(row: Row, name: str) -> str:
    """Return a field's text; empty where it is none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def rows_of(document: Row, name: str) -> list[Row]:
    """Return a field's objects; none where it is no list."""
    rows = document.get(name)
    found = rows if isinstance(rows, list) else []
    return [row for row in found if isinstance(row, dict)]


def items_of(document: Row, name: str) -> list[tuple[str, object]]:
    """Return a field's entries by name; none where it is no object."""
    value = document.get(name)
    return sorted(value.items()) if isinstance(value, dict) else []
