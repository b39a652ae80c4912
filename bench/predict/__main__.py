"""`make bench-predict`: run the ring, print what was reached, draw it."""

import argparse
import datetime as dt
import platform
import sys
from pathlib import Path

from bench.predict import cost
from bench.predict.cells import CELLS, Cell
from bench.predict.cost import cost_table
from bench.predict.entrants import DIRECT, ENTRANTS, OURS, Entrant
from bench.predict.report import MARKS, document
from bench.predict.results import read_results
from bench.predict.ring import Plan, Ring, stand_ins
from bench.predict.running import ROOT, Place
from bench.report import draw, machine
from bench.serving.load import LoadError, find_wrk
from bench.serving.progress import Progress
from bench.serving.results import LeftOut, Setup, Writer
from bench.serving.venvs import VenvError, installed_version
from local_cloud.ports import free_port

_HERE = Path(__file__).parent
_README = ROOT / "bench" / "README.md"
_COST = ROOT / "docs" / "predict-cost.md"
_FULL = {"seconds": 3, "rounds": 5, "starts": 5}
_QUICK = {"seconds": 1, "rounds": 2, "starts": 1}
_PACKAGES = {
    "predict": ("functions-framework", "uvicorn", "uvloop", "httptools"),
    "sdk": ("google-cloud-aiplatform", "functions-framework", "gunicorn"),
}
"""Whose versions are told, by environment."""

_EPILOG = f"""\
examples:
  make bench-predict
      everything, about 8 minutes; writes bench/README.md, docs/predict-cost.md and
      bench/predict/results.*
  make bench-predict ARGS=--quick
      a minute; writes to .cache/bench/predict/ only
  make bench-predict ARGS='--only {OURS},{DIRECT} --cells many --starts 0'
  make bench-predict ARGS='--pause-ms 0'
      an upstream that answers at once
  make bench-predict ARGS='--report bench/predict/results.jsonl'
      the tables again, of a run that was

functions: {", ".join(entrant.name for entrant in ENTRANTS)}
loads: {", ".join(cell.name for cell in CELLS)}

exit code: 0 measured; 1 could not be measured, with the reason
"""


def main() -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args()
    try:
        if arguments.report:
            results = read_results(arguments.report)
            _print(f"{document(results)}\n\n{cost_table(results)}")
        else:
            _measure(arguments)
    except (LoadError, VenvError, OSError, ValueError) as error:
        sys.stderr.write(f"bench-predict: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench-predict: interrupted\n")
        return 1
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    """Run the ring, then print, draw and, for a whole run, record."""
    find_wrk()
    place = Place(ROOT / ".cache" / "bench", free_port(), free_port(), free_port())
    is_whole = not (
        arguments.quick
        or arguments.only
        or arguments.cells
        or arguments.pause_ms != _PAUSE_MS
    )
    target = (_HERE if is_whole else place.cache / "predict") / "results.jsonl"
    writer = Writer(target)
    plan = _plan(arguments, place, writer)
    writer.write(_setup(plan, place))
    progress = Progress(plan.steps)
    try:
        with stand_ins(place, arguments.pause_ms) as upstreams:
            Ring(plan, place, upstreams, writer, progress.tell).run()
    finally:
        progress.end()
    _record(target, is_whole=is_whole)


def _record(target: Path, *, is_whole: bool) -> None:
    results = read_results(target)
    plot = draw("bench.predict.plot", target)
    _print(document(results))
    _print(f"\nWhat a million costs, docs/predict-cost.md:\n\n{cost_table(results)}")
    if is_whole:
        MARKS.write(_README, document(results, plot=f"predict/{plot.name}"))
        cost.MARKS.write(_COST, cost_table(results))
    _print(f"\nresults: {target}\nplot: {plot}")


def _plan(arguments: argparse.Namespace, place: Place, writer: Writer) -> Plan:
    """Choose what to measure; prepare the environments that it needs."""
    size = _QUICK if arguments.quick else _FULL
    wanted = _chosen(arguments.only, [entrant.name for entrant in ENTRANTS])
    cells = _chosen(arguments.cells, [cell.name for cell in CELLS])
    return Plan(
        entrants=[
            e for e in ENTRANTS if e.name in wanted and _prepare(e, place, writer)
        ],
        cells=[c for c in CELLS if c.name in cells and _suits(c, arguments)],
        seconds=arguments.seconds or size["seconds"],
        rounds=arguments.rounds or size["rounds"],
        starts=size["starts"] if arguments.starts is None else arguments.starts,
    )


def _suits(cell: Cell, arguments: argparse.Namespace) -> bool:
    return cell.is_quick or not arguments.quick


def _prepare(entrant: Entrant, place: Place, writer: Writer) -> bool:
    """Install what a function needs; note why when it cannot be."""
    try:
        place.prepare(entrant)
    except (VenvError, OSError) as error:
        writer.write(LeftOut(entrant.name, "", str(error)))
        return False
    return True


def _setup(plan: Plan, place: Place) -> Setup:
    """Note when, where and with what is measured."""
    venvs = dict.fromkeys(entrant.venv for entrant in plan.functions)
    versions = {
        f"{venv}: {package}": _version(place.cache / "venvs" / venv / "bin", package)
        for venv in venvs
        for package in _PACKAGES[venv]
    }
    return Setup(
        at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        seconds=plan.seconds,
        rounds=plan.rounds,
        versions=versions | {"Python": platform.python_version()},
    )


def _version(programs: Path, package: str) -> str:
    try:
        return installed_version(programs, package)
    except VenvError:
        return "not there"


def _chosen(text: str | None, known: list[str]) -> list[str]:
    """Return the names in a list with commas, all where there is none.

    Raises:
        ValueError: A name is not known.
    """
    names = text.replace(",", " ").split() if text else known
    for name in names:
        if name not in known:
            raise ValueError(f"expected some of {', '.join(known)}, came {name!r}")
    return names


_PAUSE_MS = 20.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-predict",
        description="Measure the deployed function beside what people write.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="1 s windows, 2 rounds, 1 start")
    add("--only", metavar="FUNCTIONS", help="these, with commas between")
    add("--cells", metavar="LOADS", help="these loads")
    add("--seconds", type=int, help=f"of one window [{_FULL['seconds']}]")
    add("--rounds", type=int, help=f"[{_FULL['rounds']}]")
    add("--starts", type=int, help=f"of each function [{_FULL['starts']}]")
    add(
        "--pause-ms",
        type=float,
        default=_PAUSE_MS,
        help=f"what the upstream takes to answer [{_PAUSE_MS:g}]",
    )
    add("--report", type=Path, metavar="FILE", help="only print an earlier run")
    return parser


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
