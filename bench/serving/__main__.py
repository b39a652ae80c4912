"""`make bench-serving`: run the ring, print what was reached, draw it."""

import argparse
import datetime as dt
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

from bench.report import draw, machine
from bench.serving.cells import CELLS
from bench.serving.entrants import ENTRANTS, LIMIT, Entrant
from bench.serving.load import LoadError, find_wrk
from bench.serving.onnx_models import write_models
from bench.serving.progress import Progress
from bench.serving.report import MARKS, document
from bench.serving.results import LeftOut, Setup, Writer, read_results
from bench.serving.ring import Plan, Ring
from bench.serving.running import ROOT, Place
from bench.serving.samples import SHAPES
from bench.serving.venvs import VenvError, installed_version, make_venv

_HERE = Path(__file__).parent
_README = ROOT / "bench" / "README.md"
_FULL = {"seconds": 2, "rounds": 5, "starts": 5}
_QUICK = {"seconds": 1, "rounds": 2, "starts": 2}

_EPILOG = """\
examples:
  make bench-serving
      everything, about 20 minutes; writes bench/README.md, bench/serving/results.*
  make bench-serving ARGS='--quick --models S'
      two minutes; writes to .cache/bench/last/ only
  make bench-serving ARGS='--quick --only packhorse,triton --cells t_json,t_binary'
  make bench-serving ARGS='--report bench/serving/results.jsonl'
      the tables again, of a run that was

servers: {servers}
loads: {loads}

exit code: 0 measured; 1 could not be measured, with the reason
"""


def main() -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args()
    try:
        if arguments.report:
            _print(document(read_results(arguments.report), is_whole=False))
        else:
            _measure(arguments)
    except (LoadError, VenvError, OSError, ValueError) as error:
        sys.stderr.write(f"bench-serving: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench-serving: interrupted\n")
        return 1
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    """Run the ring, then print, draw and, for a whole run, record."""
    find_wrk()
    place = Place(
        ROOT / ".cache" / "bench", arguments.edge_runtime.absolute(), arguments.workers
    )
    write_models(place.models)
    is_whole = not (
        arguments.quick or arguments.only or arguments.models or arguments.cells
    )
    folder = _HERE if is_whole else place.cache / "last"
    target = folder / "results.jsonl"
    writer = Writer(target)
    plan = _plan(arguments, place, writer)
    writer.write(_setup(plan, place))
    _run_ring(plan, place, writer)
    results = read_results(target)
    plot = draw("bench.serving.plot", target)
    _print(document(results, is_whole=is_whole))
    if is_whole:
        MARKS.write(_README, document(results, plot=f"serving/{plot.name}"))
    _print(f"\nresults: {target}\nplot: {plot}")


def _run_ring(plan: Plan, place: Place, writer: Writer) -> None:
    progress = Progress(plan.steps)
    try:
        Ring(plan, place, writer, progress.tell).run()
    finally:
        progress.end()


def _plan(arguments: argparse.Namespace, place: Place, writer: Writer) -> Plan:
    """Choose what to measure; prepare the environments that it needs."""
    wanted = _chosen(arguments.only, [entrant.name for entrant in ENTRANTS])
    models = _chosen(arguments.models, list(SHAPES))
    cells = _chosen(arguments.cells, list(CELLS))
    size = _QUICK if arguments.quick else _FULL
    return Plan(
        entrants=[
            entrant
            for entrant in ENTRANTS
            if entrant.name in wanted and _prepare(entrant, place, writer)
        ],
        cells=[c for c in CELLS.values() if c.name in cells and c.model in models],
        seconds=arguments.seconds or size["seconds"],
        rounds=arguments.rounds or size["rounds"],
        starts=size["starts"] if arguments.starts is None else arguments.starts,
    )


def _prepare(entrant: Entrant, place: Place, writer: Writer) -> bool:
    """Install what a server needs; note why when it cannot be."""
    try:
        if entrant.name == LIMIT:
            _compile_limit(place)
        elif entrant.venv:
            make_venv(entrant.venv, place.cache / "venvs")
    except (VenvError, OSError, subprocess.CalledProcessError) as error:
        writer.write(LeftOut(entrant.name, "", str(error)))
        return False
    return True


def _compile_limit(place: Place) -> None:
    program = place.cache / "limit"
    command = ["cc", "-O2", "-o", str(program), str(_HERE / "limit.c")]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def _setup(plan: Plan, place: Place) -> Setup:
    """Note when, where and with what is measured."""
    versions = {
        entrant.name: _version(entrant, place)
        for entrant in plan.entrants
        if entrant.name != LIMIT
    }
    versions |= {
        name: importlib.metadata.version(name)
        for name in ("onnxruntime", "uvloop", "httptools", "orjson", "numpy")
    }
    versions["Python"] = platform.python_version()
    return Setup(
        at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        seconds=plan.seconds,
        rounds=plan.rounds,
        versions=versions,
    )


def _version(entrant: Entrant, place: Place) -> str:
    if not entrant.venv:
        return importlib.metadata.version("packhorse")
    programs = place.cache / "venvs" / entrant.venv / "bin"
    return installed_version(programs, entrant.package)


def _chosen(text: str | None, known: list[str]) -> list[str]:
    """Return the names in a list with commas, all where there is none.

    Raises:
        ValueError: A name is not known.
    """
    if not text:
        return known
    names = text.replace(",", " ").split()
    for name in names:
        if name not in known:
            raise ValueError(f"expected some of {', '.join(known)}, came {name!r}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-serving",
        description="Measure our server and its peers in one ring.",
        epilog=_EPILOG.format(
            servers=", ".join(entrant.name for entrant in ENTRANTS),
            loads=", ".join(CELLS),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="1 s windows, 2 rounds, 2 starts")
    add("--only", metavar="SERVERS", help="these servers, with commas between")
    add("--models", metavar="MODELS", help=f"some of {', '.join(SHAPES)}")
    add("--cells", metavar="LOADS", help="these loads")
    add("--seconds", type=int, help=f"of one window [{_FULL['seconds']}]")
    add("--rounds", type=int, help=f"[{_FULL['rounds']}]")
    add("--starts", type=int, help=f"of each server [{_FULL['starts']}]")
    add("--workers", type=int, default=2, help="of each peer that can have some [2]")
    add(
        "--edge-runtime",
        type=Path,
        metavar="PATH",
        default=Path(sys.executable).with_name("edge-runtime"),
        help="our server's program [that of this environment]",
    )
    add("--report", type=Path, metavar="FILE", help="only print an earlier run")
    return parser


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
