"""How `packhorse status` looks: it fits 80 columns, and the worst stands first.

Nothing that `operate` says is believed to be there, or to be of its kind.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from packhorse.cli.device_view import print_device_rows
from packhorse.cli.tables import (
    Row,
    add_facts,
    ago_text,
    as_text,
    cut,
    items_of,
    new_table,
    open_console,
    print_history,
    print_more,
    reason_text,
    rows_of,
    state_text,
    word_of,
)

RELEASES_SHOWN = 10

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


def print_all(document: Row, *, is_full: bool) -> None:
    """Print releases, rollouts, devices and refusals."""
    console = open_console()
    _print_releases(console, document, is_full=is_full)
    _print_rollouts(console, document, is_full=is_full)
    _print_shadows(console, document, is_full=is_full)
    print_device_rows(console, document, is_full=is_full)
    _print_refusals(console, document, is_full=is_full)
    waiting = document.get("pending_events")
    if isinstance(waiting, int) and waiting:
        console.print(as_text(f"{waiting} events wait to be sent on."))


def print_release(document: Row) -> None:
    """Print why a release stands where it stands, and how it came there."""
    console = open_console()
    history = rows_of(document, "history")
    console.print(as_text(_verdict(document, history)), soft_wrap=False)
    facts = Table.grid(padding=(0, 2))
    add_facts(facts, document, "digest", "model_version")
    for variant, bundle in items_of(document, "variants"):
        shown = bundle.get("sha256") if isinstance(bundle, dict) else "not packaged"
        facts.add_row(as_text(f"bundle {variant}"), as_text(shown))
    for endpoint, number in items_of(document, "deployed_ids"):
        facts.add_row(as_text(f"on {endpoint}"), as_text(f"deployed model {number}"))
    console.print(facts)
    print_history(console, document)


def _print_releases(console: Console, document: Row, *, is_full: bool) -> None:
    rows = rows_of(document, "releases")
    if not rows:
        console.print(
            "No release yet; `packhorse push model.onnx --name ... --golden "
            "samples.npz` makes one.",
            markup=False,
        )
        return
    shown = rows if is_full else rows[:RELEASES_SHOWN]
    table = new_table("Releases", "release", "state", "since", "why")
    standing = _standing(document)
    for row in shown:
        table.add_row(
            as_text(row.get("release")),
            state_text(standing.get(word_of(row, "release")) or word_of(row, "state")),
            ago_text(row, "changed_at"),
            reason_text(row, is_full=is_full),
        )
    console.print(table)
    print_more(console, len(rows) - len(shown), "releases")


def _print_rollouts(console: Console, document: Row, *, is_full: bool) -> None:
    rows = rows_of(document, "rollouts")
    if not rows:
        return
    table = new_table(
        "Rollouts", "model", "state", "stable", "candidate", "admits", "cloud"
    )
    for row in rows:
        shares = (
            f"ring {ring}: {share / 100:g} %"
            for ring, share in items_of(row, "shares")
            if isinstance(share, int)
        )
        table.add_row(
            as_text(row.get("model")),
            state_text(word_of(row, "state")),
            _offered(row, "stable"),
            _offered(row, "candidate"),
            as_text(", ".join(shares)),
            as_text(f"{row.get('traffic_percent')} %"),
        )
    console.print(table)
    for row in rows:
        if row.get("reason"):
            console.print(
                as_text(f"{row.get('model')}: ") + reason_text(row, is_full=is_full)
            )
    console.print()


def _print_shadows(console: Console, document: Row, *, is_full: bool) -> None:
    rows = rows_of(document, "shadows")
    if not rows:
        return
    table = new_table(
        "Shadow runs", "candidate", "beside", "compared", "alike", "time", "why"
    )
    for row in rows:
        table.add_row(
            as_text(row.get("candidate")),
            as_text(row.get("live")),
            as_text(row.get("compared")),
            as_text(_number(row, "agreement", "{:.1%}")),
            as_text(_number(row, "latency_ratio", "x {:.2f}")),
            reason_text(row, is_full=is_full),
        )
    console.print(table)


def _number(row: Row, name: str, form: str) -> str:
    value = row.get(name)
    return form.format(value) if isinstance(value, int | float) else ""


def _print_refusals(console: Console, document: Row, *, is_full: bool) -> None:
    rows = rows_of(document, "refusals")
    if not rows:
        return
    table = new_table("Refused", "when", "what", "why")
    for row in rows:
        what = word_of(row, "subject")
        subject = what if is_full else cut(what, 48)
        table.add_row(
            ago_text(row, "at"), as_text(subject), reason_text(row, is_full=is_full)
        )
    console.print(table)


def _verdict(document: Row, history: Sequence[Row]) -> str:
    """Say in one sentence what became of the release, and why."""
    release, state = word_of(document, "release"), word_of(document, "state")
    last = next((row for row in reversed(history) if _verdict_of(row)), {})
    sentence = f"{release} {_verdict_of(last) or f'is {state}'}"
    if last:
        sentence += f", {ago_text(last, 'at').plain}"
    if last.get("by"):
        sentence += f" by {last['by']}"
    reason = word_of(last, "reason") or word_of(document, "reason")
    return f"{sentence}: {reason}" if reason else f"{sentence}."


def _verdict_of(change: Row) -> str:
    """Say what a change made of the release; nothing where it is only a step."""
    what = word_of(change, "what")
    # A gateway's own word, `refused on gateway-1`, is no verdict on the release.
    verdict = what.partition(" (")[0]
    return _VERDICTS.get(verdict, "")


def _standing(document: Row) -> dict[str, str]:
    """Return what became of each release that a rollout names."""
    standing: dict[str, str] = {}
    for row in rows_of(document, "rollouts"):
        for role in ("stable", "candidate"):
            offer = row.get(role)
            if isinstance(offer, dict):
                standing[word_of(offer, "release")] = role
        withdrawn = row.get("withdrawn")
        names = withdrawn if isinstance(withdrawn, list) else []
        standing.update(dict.fromkeys(map(str, names), "withdrawn"))
    return standing


def _offered(row: Row, name: str) -> Text:
    """Name the version only: the model stands before it."""
    offer = row.get(name)
    release = word_of(offer, "release") if isinstance(offer, dict) else ""
    return as_text(f"@{release.rpartition('@')[2]}" if release else "")
