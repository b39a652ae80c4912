"""`packhorse status`: what runs where, since when, and why."""

from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

from packhorse.cli import output
from packhorse.cli.failure import plain_failures
from packhorse.cli.operate import Operate, operate_option, token_option
from packhorse.names import parse_release

Row = Mapping[str, object]
_SHORT_DIGEST = len("sha256:") + 12


@click.command(epilog="Examples: packhorse status; packhorse status magika@2 --json")
@click.argument("release", required=False)
@operate_option()
@token_option
@output.json_option
def status(
    *, release: str | None, operate_url: str, token: str | None, as_json: bool
) -> None:
    """Show all releases, rollouts, devices and refusals, or one RELEASE in full."""
    with plain_failures():
        name = parse_release(release) if release else None
        operate = Operate(operate_url, token)
        document = operate.get(f"releases/{name}" if name else "status")
    if as_json:
        output.show(document, "", as_json=True)
    elif name:
        _print_release(document)
    else:
        _print_all(document)


def _print_all(document: Row) -> None:
    console = Console()
    console.print(
        _table(
            "Releases",
            ("release", "state", "since", "digest", "reason"),
            _releases(document),
        )
    )
    console.print(
        _table(
            "Rollouts",
            ("model", "state", "stable", "candidate", "admits", "cloud", "reason"),
            [_rollout(row) for row in _rows(document, "rollouts")],
        )
    )
    console.print(
        _table(
            "Devices",
            ("device", "ring", "release", "state", "heard", "reason"),
            [_device(row) for row in _rows(document, "devices")],
        )
    )
    refusals = [
        (_since(row, "at"), str(row["subject"]), str(row["reason"]))
        for row in _rows(document, "refusals")
    ]
    if refusals:
        console.print(_table("Refusals", ("at", "what", "reason"), refusals))


def _print_release(document: Row) -> None:
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name in ("release", "state", "reason", "digest", "model_version"):
        if document.get(name):
            facts.add_row(name, str(document[name]))
    for variant, bundle in _items(document, "variants"):
        shown = bundle.get("sha256") if isinstance(bundle, dict) else "not packaged"
        facts.add_row(f"bundle {variant}", str(shown))
    for endpoint, number in _items(document, "deployed_ids"):
        facts.add_row(f"deployed on {endpoint}", str(number))
    console.print(facts)
    history = [
        (_since(row, "at"), str(row["what"]), str(row.get("reason") or ""))
        for row in _rows(document, "history")
    ]
    console.print(_table("History", ("at", "what", "why"), history))


def _releases(document: Row) -> list[tuple[str, ...]]:
    return [
        (
            str(row["release"]),
            str(row["state"]),
            _since(row, "changed_at"),
            str(row["digest"])[:_SHORT_DIGEST],
            str(row["reason"]),
        )
        for row in _rows(document, "releases")
    ]


def _rollout(row: Row) -> tuple[str, ...]:
    shares = ", ".join(
        f"ring {ring}: {int(str(share)) / 100:g} %"
        for ring, share in _items(row, "shares")
    )
    return (
        str(row["model"]),
        str(row["state"]),
        _offered(row, "stable"),
        _offered(row, "candidate"),
        shares,
        f"{row.get('traffic_percent')} %",
        str(row.get("reason") or ""),
    )


def _device(row: Row) -> tuple[str, ...]:
    return (
        str(row["device"]),
        str(row["ring"]),
        str(row.get("release") or ""),
        str(row.get("state") or ("" if row.get("is_enrolled") else "invited")),
        _since(row, "heard_at"),
        str(row.get("reason") or ""),
    )


def _offered(row: Row, name: str) -> str:
    offer = row.get(name)
    return str(offer["release"]) if isinstance(offer, dict) else ""


def _rows(document: Row, name: str) -> list[Row]:
    rows = document.get(name)
    return (
        [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )


def _items(document: Row, name: str) -> list[tuple[str, object]]:
    value = document.get(name)
    return sorted(value.items()) if isinstance(value, dict) else []


def _since(row: Row, name: str) -> str:
    """Shorten an instant to what a person reads: UTC, to the second."""
    return str(row.get(name) or "")[:19].replace("T", " ")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for column in columns:
        table.add_column(column, overflow="fold", style=None)
    for row in rows:
        table.add_row(*row)
    return table
