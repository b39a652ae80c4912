"""How `packhorse status` looks: it fits 80 columns, and the worst stands first.

Nothing that `operate` says is believed to be there, or to be of its kind.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from packhorse.cli.output import plain

Row = Mapping[str, object]

RELEASES_SHOWN = 10
DEVICES_SHOWN = 20
REASON_SHOWN = 120

_PIPE_COLUMNS = 1_000
"""A program reads lines; nothing is folded for it."""
_VERDICTS = {
    "refused": "was refused",
    "rollout finished": "has arrived everywhere",
    "rollout withdrawn": "was withdrawn",
    "rollout halted": "is halted on its way",
    "rollout open": "is being rolled out",
    "rollout waiting": "waits for its rollout",
    "stable again": "is stable again",
}
"""By how the change begins that the ledger wrote down."""
_FAILED = frozenset({"refused", "rolled_back", "failed"})
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def print_all(document: Row, *, is_full: bool) -> None:
    """Print releases, rollouts, devices and refusals."""
    console = _console()
    _print_releases(console, document, is_full=is_full)
    _print_rollouts(console, document, is_full=is_full)
    _print_devices(console, document, is_full=is_full)
    _print_refusals(console, document, is_full=is_full)
    waiting = document.get("pending_events")
    if isinstance(waiting, int) and waiting:
        console.print(_text(f"{waiting} events wait to be sent on."))


def print_release(document: Row) -> None:
    """Print why a release stands where it stands, and how it came there."""
    console = _console()
    history = _rows(document, "history")
    console.print(_text(_verdict(document, history)), soft_wrap=False)
    facts = Table.grid(padding=(0, 2))
    for name in ("digest", "model_version"):
        if document.get(name):
            facts.add_row(name.replace("_", " "), _text(document[name]))
    for variant, bundle in _items(document, "variants"):
        shown = bundle.get("sha256") if isinstance(bundle, dict) else "not packaged"
        facts.add_row(_text(f"bundle {variant}"), _text(shown))
    for endpoint, number in _items(document, "deployed_ids"):
        facts.add_row(_text(f"on {endpoint}"), _text(f"deployed model {number}"))
    console.print(facts)
    table = _table("History (UTC)", "at", "what", "why")
    for row in history:
        why = [_word(row, "reason"), f"by {row['by']}" if row.get("by") else ""]
        table.add_row(_at(row), _text(row.get("what")), _text(" ".join(why).strip()))
    console.print(table)


def _print_releases(console: Console, document: Row, *, is_full: bool) -> None:
    rows = _rows(document, "releases")
    if not rows:
        console.print(
            "No release yet; `packhorse push model.onnx --name ... --golden "
            "samples.npz` makes one.",
            markup=False,
        )
        return
    shown = rows if is_full else rows[:RELEASES_SHOWN]
    table = _table("Releases", "release", "state", "since", "why")
    standing = _standing(document)
    for row in shown:
        table.add_row(
            _text(row.get("release")),
            _state(standing.get(_word(row, "release")) or _word(row, "state")),
            _ago(row, "changed_at"),
            _reason(row, is_full=is_full),
        )
    console.print(table)
    _print_more(console, len(rows) - len(shown), "releases")


def _print_rollouts(console: Console, document: Row, *, is_full: bool) -> None:
    rows = _rows(document, "rollouts")
    if not rows:
        return
    table = _table(
        "Rollouts", "model", "state", "stable", "candidate", "admits", "cloud"
    )
    for row in rows:
        shares = (
            f"ring {ring}: {share / 100:g} %"
            for ring, share in _items(row, "shares")
            if isinstance(share, int)
        )
        table.add_row(
            _text(row.get("model")),
            _state(_word(row, "state")),
            _offered(row, "stable"),
            _offered(row, "candidate"),
            _text(", ".join(shares)),
            _text(f"{row.get('traffic_percent')} %"),
        )
    console.print(table)
    for row in rows:
        if row.get("reason"):
            console.print(
                _text(f"{row.get('model')}: ") + _reason(row, is_full=is_full)
            )
    console.print()


def _print_devices(console: Console, document: Row, *, is_full: bool) -> None:
    rows = _rows(document, "devices")
    if not rows:
        console.print(
            "No gateway yet; `packhorse device invite NAME --ring 0` invites one."
        )
        return
    shown = rows
    if len(rows) > DEVICES_SHOWN and not is_full:
        _print_counts(console, rows)
        shown = [row for row in rows if row.get("state") in _FAILED][:DEVICES_SHOWN]
    table = _table(
        "Devices", "device", "ring", "answers with", "last report", "heard", "why"
    )
    for row in shown:
        state = _word(row, "state") or (
            "enrolled" if row.get("is_enrolled") else "invited"
        )
        table.add_row(
            _text(row.get("device")),
            _text(row.get("ring")),
            _text(row.get("serving")),
            _state(state) + _text(f" {_word(row, 'release')}".rstrip()),
            _ago(row, "heard_at"),
            _reason(row, is_full=is_full),
        )
    if shown:
        console.print(table)
    _print_more(console, len(rows) - len(shown), "devices")
    fleet = document.get("fleet_size")
    if isinstance(fleet, int) and fleet > len(rows):
        console.print(
            _text(f"The fleet has {fleet} devices; operate tells of {len(rows)}.")
        )


def _print_counts(console: Console, rows: Sequence[Row]) -> None:
    """Sum a large fleet up, ring by ring."""
    counts = Counter((str(row.get("ring")), _word(row, "serving")) for row in rows)
    table = _table("Rings", "ring", "devices", "answer with")
    for (ring, serving), count in sorted(counts.items()):
        table.add_row(_text(ring), str(count), _text(serving or "nothing yet"))
    console.print(table)


def _print_refusals(console: Console, document: Row, *, is_full: bool) -> None:
    rows = _rows(document, "refusals")
    if not rows:
        return
    table = _table("Refused", "when", "what", "why")
    for row in rows:
        what = _word(row, "subject")
        subject = what if is_full else _cut(what, 48)
        table.add_row(_ago(row, "at"), _text(subject), _reason(row, is_full=is_full))
    console.print(table)


def _print_more(console: Console, count: int, what: str) -> None:
    if count > 0:
        console.print(_text(f"and {count} more {what}; `--all` shows them"))


def _verdict(document: Row, history: Sequence[Row]) -> str:
    """Say in one sentence what became of the release, and why."""
    release, state = _word(document, "release"), _word(document, "state")
    last = next((row for row in reversed(history) if _verdict_of(row)), {})
    sentence = f"{release} {_verdict_of(last) or f'is {state}'}"
    if last:
        sentence += f", {_ago(last, 'at').plain}"
    if last.get("by"):
        sentence += f" by {last['by']}"
    reason = _word(last, "reason") or _word(document, "reason")
    return f"{sentence}: {reason}" if reason else f"{sentence}."


def _verdict_of(change: Row) -> str:
    """Say what a change made of the release; nothing where it is only a step."""
    what = _word(change, "what")
    # A gateway's own word, `refused on gateway-1`, is no verdict on the release.
    verdict = what.partition(" (")[0]
    return _VERDICTS.get(verdict, "")


def _standing(document: Row) -> dict[str, str]:
    """Return what became of each release that a rollout names."""
    standing: dict[str, str] = {}
    for row in _rows(document, "rollouts"):
        for role in ("stable", "candidate"):
            offer = row.get(role)
            if isinstance(offer, dict):
                standing[_word(offer, "release")] = role
        withdrawn = row.get("withdrawn")
        names = withdrawn if isinstance(withdrawn, list) else []
        standing.update(dict.fromkeys(map(str, names), "withdrawn"))
    return standing


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    return console


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for column in columns:
        is_reason = column == "why"
        table.add_column(column, overflow="fold", ratio=1 if is_reason else None)
    return table


def _text(value: object) -> Text:
    """Make text of what came from elsewhere: no markup, nothing that steers."""
    return Text("" if value is None else plain(value))


def _state(state: str) -> Text:
    style = "red" if state in _FAILED | {"withdrawn", "halted"} else ""
    return Text(plain(state), style=style)


def _reason(row: Row, *, is_full: bool) -> Text:
    reason = _word(row, "reason")
    return _text(reason if is_full else _cut(reason, REASON_SHOWN))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _offered(row: Row, name: str) -> Text:
    """Name the version only: the model stands before it."""
    offer = row.get(name)
    release = _word(offer, "release") if isinstance(offer, dict) else ""
    return _text(f"@{release.rpartition('@')[2]}" if release else "")


def _ago(row: Row, name: str) -> Text:
    """Say how long ago an instant was."""
    try:
        at = datetime.fromisoformat(_word(row, name))
        seconds = (datetime.now(UTC) - at).total_seconds()
    except (ValueError, TypeError):
        return Text("")
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return Text(f"{int(seconds // unit_s)} {unit} ago")
    return Text(f"{max(0, int(seconds))} s ago")


def _at(row: Row) -> Text:
    """Shorten an instant to what a person reads: UTC, to the second."""
    return _text(_word(row, "at")[:19].replace("T", " "))


def _word(row: Row, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _rows(document: Row, name: str) -> list[Row]:
    rows = document.get(name)
    found = rows if isinstance(rows, list) else []
    return [row for row in found if isinstance(row, dict)]


def _items(document: Row, name: str) -> list[tuple[str, object]]:
    value = document.get(name)
    return sorted(value.items()) if isinstance(value, dict) else []
