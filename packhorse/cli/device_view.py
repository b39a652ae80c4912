"""How devices look: those of a small fleet one by one, a large one by its rings."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from packhorse.cli.tables import (
    FAILED,
    REVOKED,
    Row,
    add_facts,
    ago_text,
    as_text,
    new_table,
    open_console,
    print_history,
    print_more,
    reason_text,
    rows_of,
    state_text,
    word_of,
)

DEVICES_SHOWN = 20


def print_devices(document: Row) -> None:
    """Print every device."""
    print_device_rows(open_console(), document, is_full=True)


def print_device(document: Row) -> None:
    """Print what is known of one device, and how it came there."""
    console = open_console()
    facts = Table.grid(padding=(0, 2))
    facts.add_row(as_text(document.get("device")), state_text(_device_state(document)))
    facts.add_row("ring", as_text(document.get("ring")))
    known = ("serving", "key_sha256", "key_since", "revoked_at", "revoked_by")
    add_facts(facts, document, *known)
    models = document.get("models")
    if isinstance(models, list) and models:
        facts.add_row("reads", as_text(", ".join(map(str, models))))
    if document.get("is_rotation_wanted") is True:
        facts.add_row("asked for", "a new key")
    console.print(facts)
    print_history(console, document)


def print_device_rows(console: Console, document: Row, *, is_full: bool) -> None:
    """Print the devices, or those of a large fleet that failed."""
    rows = rows_of(document, "devices")
    if not rows:
        console.print(
            "No gateway yet; `packhorse device invite NAME --ring 0` invites one."
        )
        return
    shown = rows
    if len(rows) > DEVICES_SHOWN and not is_full:
        _print_counts(console, rows)
        shown = [row for row in rows if row.get("state") in FAILED][:DEVICES_SHOWN]
    table = new_table(
        "Devices", "device", "ring", "answers with", "last report", "heard", "why"
    )
    for row in shown:
        state = _device_state(row)
        table.add_row(
            as_text(row.get("device")),
            as_text(row.get("ring")),
            as_text(row.get("serving")),
            state_text(state) + as_text(_about(row, state)),
            ago_text(row, "heard_at"),
            reason_text(row, is_full=is_full),
        )
    if shown:
        console.print(table)
    print_more(console, len(rows) - len(shown), "devices")
    fleet = document.get("fleet_size")
    if isinstance(fleet, int) and fleet > len(rows):
        console.print(
            as_text(f"The fleet has {fleet} devices; operate tells of {len(rows)}.")
        )


def _device_state(row: Row) -> str:
    """Say where a device stands, in a word."""
    if row.get("is_revoked") is True:
        return REVOKED
    return word_of(row, "state") or (
        "enrolled" if row.get("is_enrolled") else "invited"
    )


def _about(row: Row, state: str) -> str:
    release = word_of(row, "release")
    return f" {release}" if release and state != REVOKED else ""


def _print_counts(console: Console, rows: Sequence[Row]) -> None:
    """Sum a large fleet up, ring by ring."""
    counts = Counter((str(row.get("ring")), word_of(row, "serving")) for row in rows)
    table = new_table("Rings", "ring", "devices", "answer with")
    for (ring, serving), count in sorted(counts.items()):
        table.add_row(as_text(ring), str(count), as_text(serving or "nothing yet"))
    console.print(table)
