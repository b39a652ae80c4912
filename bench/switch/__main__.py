"""`make bench-switch`: what switches cost under load, and how fast is the way back."""

import argparse
import datetime as dt
import os
import platform
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.report import draw
from bench.serving.progress import Progress
from bench.serving.running import ROOT
from bench.switch.gateway import GatewayError
from bench.switch.report import MARKS, write_document
from bench.switch.results import Results, load_results, save_results
from bench.switch.run import Measured, Plan, measure
from edge_runtime.errors import EdgeError

_HERE = Path(__file__).resolve().parent
_PAGE = ROOT / "docs" / "reliability.md"
_SWITCHES = 50
_CAUSES = 3
_EPILOG = f"""\
examples:
  make bench-switch
      {_SWITCHES} switches at 32 connections, some 9 minutes; writes
      bench/switch/results.json, results.png and the table of docs/reliability.md
  make bench-switch ARGS='--switches 5 --back 2'
      a minute and a half; writes to .cache/bench/switch/ only
  make bench-switch ARGS='--report bench/switch/results.json'
      the table again, of a run that was

exit code: 0 no request failed; 1 one did, or it could not be measured
"""


def main() -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args()
    if arguments.report:
        _print(write_document(load_results(arguments.report)))
        return 0
    try:
        results = _measure(arguments)
    except (GatewayError, EdgeError, OSError) as error:
        sys.stderr.write(f"bench-switch: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench-switch: interrupted\n")
        return 1
    _keep(results, arguments)
    return 1 if results.failed else 0


def _measure(arguments: argparse.Namespace) -> Results:
    progress = Progress(arguments.switches + _CAUSES * arguments.back)
    with tempfile.TemporaryDirectory(prefix="bench-switch-") as folder:
        plan = Plan(
            command=_command(arguments.edge_runtime),
            folder=Path(folder),
            switches=arguments.switches,
            connections=arguments.connections,
            per_s=arguments.rate,
            window_s=arguments.window,
            back=arguments.back,
        )
        try:
            measured = uvloop.run(measure(plan, progress.tell))
        finally:
            progress.end()
    return _results(plan, measured)


def _results(plan: Plan, measured: Measured) -> Results:
    records, crashing = measured.records, measured.crashing
    return Results(
        at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{os.cpu_count()} cores, {platform.platform(terse=True)}",
        connections=plan.connections,
        per_s=plan.per_s,
        window_s=plan.window_s,
        requests=sum(record.answered.total() for record in [*records, *crashing]),
        failed=sum(record.failed for record in records),
        examples=[text for record in records for text in record.examples],
        switches=measured.switches,
        memory=measured.memory,
        rolled_back_s=measured.rolled_back_s,
        lost=sum(record.failed for record in crashing),
    )


def _keep(results: Results, arguments: argparse.Namespace) -> None:
    """Write, print and draw a run; a whole one has its place in the tree."""
    is_whole = arguments.switches >= _SWITCHES
    folder = _HERE if is_whole else Path(".cache") / "bench" / "switch"
    path = arguments.json or folder / "results.json"
    save_results(results, path)
    _print(write_document(results))
    for example in results.examples:
        sys.stderr.write(f"failed: {example}\n")
    if not arguments.no_plot and results.switches:
        draw("bench.switch.plot", path)
    if is_whole and not arguments.json:
        shown = "![Switches under load](../bench/switch/results.png)\n"
        MARKS.write(_PAGE, f"{write_document(results)}\n{shown}")
    _print(f"results: {path}")


def _command(program: Path | None) -> list[str]:
    """Return our program, or this source's own."""
    return [str(program)] if program else [sys.executable, "-m", "edge_runtime"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-switch",
        description="Switch and go back under load, and count what fails.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--switches", type=int, default=_SWITCHES, help=f"[{_SWITCHES}]")
    add("--connections", type=int, default=32, help="[32]")
    add(
        "--rate",
        type=float,
        default=1500.0,
        help="requests a second, all together; 0: as many as are answered [1500]",
    )
    add("--window", type=float, default=2.0, help="seconds from a switch on [2]")
    add("--back", type=int, default=10, help="times to go back in each way [10]")
    add("--edge-runtime", type=Path, metavar="PATH", help="our program [this source]")
    add("--json", type=Path, metavar="FILE", help="where the results go")
    add("--no-plot", action="store_true", help="draw nothing")
    add("--report", type=Path, metavar="FILE", help="only print an earlier run")
    return parser


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
