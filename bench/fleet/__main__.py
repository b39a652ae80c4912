"""`make bench-fleet`: what polling and updating cost, for fleets of several sizes."""

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.pool import Pool
from pathlib import Path

from bench.fleet.gateway import Played, Share, play
from bench.fleet.publisher import Publisher
from bench.fleet.report import MARKS, write_document
from bench.report import draw
from bench.serving.progress import Progress

_HERE = Path(__file__).parent
_SIZES = (100, 1_000, 10_000)
_PAGE = _HERE.parents[1] / "docs" / "reliability.md"
_BATCH = 25
"""Gateways that a process plays before it tells how far it is."""
_FAST_DISK = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_ASK_S = 30.0

_EPILOG = """\
examples:
  make bench-fleet
      fleets of 100, 1,000 and 10,000 gateways; some 7 minutes on two cores;
      writes bench/fleet/results.jsonl, results.png and docs/reliability.md's table
  make bench-fleet ARGS='--sizes 50,200'
      a minute; prints only

exit code: 0 measured; 1 a gateway failed, or runs what it should not
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One thing that happens to the fleet, and what should run afterwards.

    Attributes:
        share: Of the fleet that should run `version`, the rest the one before.
    """

    name: str
    happens: Callable[[Publisher], None]
    version: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one chapter cost a fleet of one size."""

    size: int
    chapter: str
    counts: dict[str, list[int]]
    serving: dict[int, int]
    cpu_s: float
    took_s: float


CHAPTERS = (
    Chapter("first contact: release 1", lambda _: None, 1),
    Chapter("steady poll, nothing new", lambda _: None, 1),
    Chapter("poll after the hourly timestamp", lambda p: p.refresh_timestamp(), 1),
    Chapter(
        "release 2 for 5 %",
        lambda p: p.roll_out(stable=1, candidate=2, share=500),
        2,
        0.05,
    ),
    Chapter("release 2 for all", lambda p: p.roll_out(stable=2), 2),
    Chapter("steady poll, nothing new, again", lambda _: None, 2),
    Chapter("release 2 withdrawn", lambda p: p.roll_out(stable=1, withdrawn=(2,)), 1),
)


def main() -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    progress = Progress(sum(sizes) * len(CHAPTERS) // _BATCH)
    rows: list[Row] = []
    try:
        for size in sizes:
            rows += _measure(size, arguments, progress)
    except (FleetError, OSError, ValueError) as error:
        sys.stderr.write(f"\nbench-fleet: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nbench-fleet: interrupted\n")
        return 1
    progress.end()
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    if tuple(sizes) == _SIZES:
        (_HERE / "results.jsonl").write_text(lines)
        draw("bench.fleet.plot", _HERE / "results.jsonl")
        _record(write_document(lines))
    sys.stdout.write(lines if arguments.json else write_document(lines))
    return 0


def _record(table: str) -> None:
    """Put the table into the page."""
    at = dt.datetime.now(dt.UTC).strftime("%F %R UTC")
    said = (
        f"Measured {at} on {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    picture = "![What a fleet reads](../bench/fleet/results.png)"
    MARKS.write(_PAGE, f"{said}:\n\n{table}\n{picture}")


class FleetError(Exception):
    """A gateway of the bench did not do what it should."""


def _measure(
    size: int, arguments: argparse.Namespace, progress: Progress
) -> Iterator[Row]:
    """Tell the story to one fleet."""
    disk = _FAST_DISK if _FAST_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="packhorse-fleet-", dir=disk) as name:
        folder = Path(name)
        publisher = Publisher(folder / "bucket", arguments.bundle_bytes)
        publisher.release(1)
        publisher.release(2)
        publisher.roll_out(stable=1)
        with (
            _bucket(folder / "bucket") as url,
            _players(arguments.processes) as players,
        ):
            for chapter in CHAPTERS:
                chapter.happens(publisher)
                _take_counts(url)
                begun_s = time.monotonic()
                waiting = [
                    # The same gateways always play in the same process.
                    players[index % len(players)].apply_async(play, (share,))
                    for index, share in enumerate(_shares(size, folder, url, publisher))
                ]
                played = []
                for one in waiting:
                    progress.tell(f"{size} gateways: {chapter.name}")
                    played.append(one.get())
                row = _row(size, chapter, played, url, time.monotonic() - begun_s)
                _check(row, chapter)
                yield row


def _row(
    size: int, chapter: Chapter, played: list[Played], url: str, took_s: float
) -> Row:
    serving: dict[int, int] = {}
    for one in played:
        if one.failures:
            raise FleetError("; ".join(one.failures))
        for version, count in one.serving.items():
            serving[version] = serving.get(version, 0) + count
    cpu_s = sum(one.cpu_s for one in played)
    return Row(size, chapter.name, _take_counts(url), serving, cpu_s, took_s)


def _check(row: Row, chapter: Chapter) -> None:
    """Hold the fleet to what the document says; a share is met within six sigmas."""
    there = row.serving.get(chapter.version, 0)
    expected = chapter.share * row.size
    room = 6 * (row.size * chapter.share * (1 - chapter.share)) ** 0.5
    if abs(there - expected) > room:
        raise FleetError(
            f"{chapter.name}: expected release {chapter.version} on about"
            f" {expected:g} of {row.size} gateways, it is on {there}"
        )


def _shares(size: int, folder: Path, url: str, publisher: Publisher) -> list[Share]:
    """Deal the gateways out in batches."""
    return [
        Share(folder, range(n, min(n + _BATCH, size)), url, publisher.root)
        for n in range(0, size, _BATCH)
    ]


@contextmanager
def _players(count: int) -> Iterator[list[Pool]]:
    """Start processes that play gateways, each with a queue of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(multiprocessing.Pool(1)) for _ in range(count)]


@contextmanager
def _bucket(folder: Path) -> Iterator[str]:
    """Run the bucket in a process of its own; give its address."""
    command = [sys.executable, "-m", "bench.fleet.bucket", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None  # noqa: S101 - for the types: it is a pipe
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _take_counts(url: str) -> dict[str, list[int]]:
    with urllib.request.urlopen(f"{url}/counts", timeout=_ASK_S) as answer:  # noqa: S310 - on loopback
        found: dict[str, list[int]] = json.load(answer)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-fleet",
        description="Measure what a fleet asks of the bucket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = ",".join(str(size) for size in _SIZES)
    parser.add_argument("--sizes", default=sizes, help=f"gateways [{sizes}]")
    parser.add_argument(
        "--bundle-bytes", type=int, default=20_000, help="of each release [20000]"
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="that play the gateways [2]"
    )
    parser.add_argument("--json", action="store_true", help="a row a line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
