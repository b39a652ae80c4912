"""What `edge-runtime log` can be asked, and its help; argparse and nothing heavy."""

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_runtime.measures import OUTCOMES

HELP = """\
Predictions are printed the oldest first; times are UTC. Which are there to be
printed is up to `edge-runtime serve --help`, "what is kept of requests".

environment:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `serve`; needed
                             without --directory

examples:
  export PACKHORSE_STATE_DIR=/var/lib/packhorse
  edge-runtime log -n 20                       the last twenty
  edge-runtime log -f --model magika@2         the last ten, then what comes
  edge-runtime log --since 2h --outcome model_failed
  edge-runtime log --since 2026-11-22T08:00 --until 2026-11-22T09:00
  edge-runtime log --id 4bf92f3577b34da6a3ce929d0e0e4736
                                               by its own, its request's or its
                                               trace's id
  edge-runtime log --json | jq '.outputs[0].summary.top[0]'
  edge-runtime log --json --data -n 1          with tensors, where they are kept
  edge-runtime log --json --cursor-file sent   what is new since it was last asked

exit code: 0 done, also where nothing matches; 1 failed, with the reason on
standard error; 2 wrong usage
"""

FOLLOW_LIMIT = 10
"""Lines shown before those to come, as `journalctl -f` and `tail -f` do."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are wanted; empty texts and None stand for any."""

    since: datetime | None
    until: datetime | None
    model: str
    outcome: str
    id: str

    @property
    def is_picky(self) -> bool:
        """Say whether notes of what is missing would be beside the point."""
        return bool(self.model or self.outcome or self.id)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add them to the parser of `log`."""
    add = command.add_argument
    add("-f", "--follow", action="store_true", help="go on with what comes")
    add("-n", "--limit", type=_count, metavar="N", help="the last N that match")
    add("--since", type=_instant, metavar="WHEN", help="2h, 30m, 2026-11-22T08:00")
    add("--until", type=_instant, metavar="WHEN", help="likewise")
    add("--model", default="", metavar="NAME[@VERSION]", help="of this model")
    add(
        "--outcome",
        default="",
        choices=OUTCOMES,
        metavar="WORD",
        help=f"one of {', '.join(OUTCOMES)}",
    )
    add("--id", default="", help="of the record, the request or the trace")
    add("--json", action="store_true", help="one JSON object a line")
    add("--data", action="store_true", help="with --json: tensors kept in full")
    add(
        "--cursor-file",
        type=Path,
        metavar="FILE",
        help="begin behind what FILE says, and note there how far it went",
    )
    add("--directory", type=Path, metavar="DIR", help="a log from elsewhere")


def check_options(arguments: argparse.Namespace) -> str:
    """Return what is wrong with options that are right each by itself, or ""."""
    if arguments.data and not arguments.json:
        return "--data needs --json"
    if arguments.cursor_file and arguments.limit is not None:
        return "--limit would pass over records, and --cursor-file would forget them"
    if arguments.follow and arguments.until:
        return "--follow waits for what comes, and --until is over"
    return ""


def wanted(arguments: argparse.Namespace) -> Wanted:
    """Return which records are asked for."""
    return Wanted(
        since=arguments.since,
        until=arguments.until,
        model=arguments.model,
        outcome=arguments.outcome,
        id=arguments.id,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, not {text!r}")
    return int(text)


def _instant(text: str) -> datetime:
    """Read `2h` as two hours ago, and else an instant, UTC without an offset."""
    now = datetime.now(UTC)
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"expected 30s, 10m, 2h, 7d or an instant as 2026-11-22T08:00, not {text!r}"
        ) from error
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
