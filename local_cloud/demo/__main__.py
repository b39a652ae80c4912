"""Run the demo: `make demo`, or `make demo ONCE=1` to end by itself."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from local_cloud.demo import magika
from local_cloud.demo.board import Board
from local_cloud.demo.journey import JourneyError
from local_cloud.demo.story import Story
from local_cloud.demo.witness import MODEL, StoryError
from local_cloud.stack.processes import StartError
from local_cloud.stack.settings import ROOT, Plan, load_functions
from local_cloud.stack.stack import Stack

STAND_INS = (
    ("Cloud Storage", "fake-gcs-server, on its filesystem backend"),
    ("Pub/Sub", "a durable stand-in, spoken to by Google's client"),
    ("Artifact Registry", "a small OCI registry that sends the same notices"),
    ("Vertex AI", "a stand-in in front of real serving containers (edge_runtime)"),
    ("Workflows", "an interpreter that runs workflows/release.yaml itself"),
    ("Cloud Run functions", "the real functions-framework, started as deployed"),
    ("Cloud SQL", "SQLite"),
    ("Cloud KMS", "key files, by the same URI setting"),
    ("metadata server, IAM", "a stand-in that google-auth finds by itself"),
    ("Cloud Scheduler", "the same schedules, sped up"),
    ("MQTT broker", "amqtt"),
    ("two gateways", "edge_runtime from its own requirement file, as on a gateway"),
)


def main() -> int:
    """Tell the story; return 0 when all of it came true."""
    arguments = _parse(sys.argv[1:])
    board = Board(arguments.picture)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        versions = magika.find_versions(arguments.cache)
    except FileNotFoundError as error:
        board.failure(str(error))
        return 1
    with tempfile.TemporaryDirectory(prefix="packhorse-demo-") as name:
        folder = Path(name)
        plan = Plan(folder=folder, gateway_venv=ROOT / ".venv-gateway")
        with Stack(plan) as stack:
            try:
                pushed = folder / "pushed"
                pushed.mkdir()
                _tell(Story(stack, board, versions, pushed))
                _close(stack, board, stays=not arguments.once)
            except (StoryError, JourneyError, StartError) as error:
                board.failure(str(error))
                _keep_logs(folder, board)
                return 1
            except KeyboardInterrupt:
                board.text("stopping")
                return 130 if arguments.once else 0
    return 0


def _tell(story: Story) -> None:
    board = story.board
    board.chapter("0  The local cloud starts")
    with board.waiting("starting"):
        took: dict[str, float] = {}
        story.stack.start(took.__setitem__)
        begun_s = board.elapsed_s
        story.begin()
    functions = load_functions()
    stand_ins = [name for name in took if name not in functions]
    board.line(
        "stand-ins", "start", max(took[n] for n in stand_ins), ", ".join(stand_ins)
    )
    names = f"{len(functions)}, as functions/deploy.yaml lists them"
    board.line("functions", "start", max(took[n] for n in functions), names)
    board.line(
        "gateways", "start", board.elapsed_s - begun_s, "gw-0 and gw-1, and enrol"
    )
    story.first_release()
    story.upgrade()
    story.broken_at_once()
    story.broken_later()
    story.outage()
    story.compare()
    story.withdraw()


def _close(stack: Stack, board: Board, *, stays: bool) -> None:
    board.table(
        "What here stands in for what on Google Cloud", ("there", "here"), STAND_INS
    )
    board.chapter("packhorse status")
    for line in stack.packhorse("status").stdout.splitlines():
        board.text(line)
    board.chapter(f"All of it took {board.elapsed_s:.0f} s")
    board.text(f"the function   {stack.plan.url('predict')}/v1/models/{MODEL}:predict")
    for gateway in stack.gateways.values():
        board.text(f"{gateway.device}           {gateway.url}/   (its status page)")
    board.save_picture()
    if not stays:
        return
    board.chapter("Try, in another terminal")
    gateway = next(iter(stack.gateways.values()))
    board.commands(
        stack.operator_environment(),
        [
            f"{sys.prefix}/bin/packhorse status",
            f"{sys.prefix}/bin/packhorse status {MODEL}@4",
            f"curl {gateway.url}/v2/models/{MODEL}",
        ],
    )
    board.text("")
    board.text("Ctrl-C stops everything.")
    signal.pause()


def _keep_logs(folder: Path, board: Board) -> None:
    """Keep what the processes logged, for whoever looks for the reason."""
    kept = Path(tempfile.mkdtemp(prefix="packhorse-logs-"))
    for log in (folder / "logs").glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())
    board.text(f"what every process logged lies in {kept}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="holds the models")
    parser.add_argument("--once", action="store_true", help="end by itself")
    parser.add_argument("--picture", type=Path, help="write an SVG of what was shown")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
