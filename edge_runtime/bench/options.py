"""What `edge-runtime bench` can be asked, and its help; argparse and nothing heavy."""

import argparse
import math
from pathlib import Path

HELP = """\
URL is a server that speaks the Open Inference Protocol: this one, Triton, KServe,
MLServer. The inputs are made from what it says of its model: random numbers, free
axes of length 1; --shape and --data say otherwise. Every connection sends its next
request when the last is answered.

environment:
  PACKHORSE_TOKEN            sent as `Authorization: Bearer …`, where it is set

examples:
  edge-runtime bench http://127.0.0.1:8080
  edge-runtime bench http://127.0.0.1:8080 --model magika --connections 1
  edge-runtime bench http://127.0.0.1:8080/v2/models/yolo/versions/3 --binary \\
      --shape images=1,3,640,640 --duration 30
  edge-runtime bench http://triton:8000 --model bert --data request.json
  edge-runtime bench http://127.0.0.1:8080 --json | jq .latency_ms.p99

exit code: 0 every answer was 200; 1 some were not, or it could not be measured,
with the reason on standard error; 2 wrong usage
"""

CONNECTIONS_MAX = 1000
"""As many as our own server takes by default."""

DURATION_MAX_S = 3600.0

Shape = tuple[int, ...]


def add_options(command: argparse.ArgumentParser) -> None:
    """Add them to the parser of `bench`."""
    add = command.add_argument
    add("url", metavar="URL", help="of the server, or of one of its models")
    add("--model", default="", metavar="NAME", help="which, where it has several")
    add("--version", default="", help="which [the one that it serves by itself]")
    add("--connections", type=_connections, default=32, metavar="N", help="[32]")
    add("--duration", type=_seconds, default=10.0, metavar="S", help="[10]")
    add("--warm-up", type=_seconds, default=1.0, metavar="S", help="not counted [1]")
    add("--binary", action="store_true", help="send and ask for binary tensors")
    add("--data", type=Path, metavar="FILE", help="a v2 request in JSON to send")
    add(
        "--shape",
        type=_shape,
        action="append",
        default=[],
        metavar="NAME=N,N,…",
        help="of an input with free axes; may be given for several",
    )
    add("--zeros", action="store_true", help="zeros instead of random numbers")
    add("--ca-file", type=Path, metavar="FILE", help="who vouches for an https server")
    add("--json", action="store_true", help="for programs")


def check_options(arguments: argparse.Namespace) -> str:
    """Return what is wrong with options that are right each by itself, or ""."""
    if arguments.data and (arguments.shape or arguments.zeros):
        return "--data says what is sent, and so do --shape and --zeros"
    if not arguments.duration:
        return "--duration must be more than 0 seconds"
    return ""


def _connections(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= CONNECTIONS_MAX:
        raise argparse.ArgumentTypeError(
            f"expected a number from 1 to {CONNECTIONS_MAX}, not {text!r}"
        )
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= DURATION_MAX_S:
        raise argparse.ArgumentTypeError(
            f"expected seconds from 0 to {DURATION_MAX_S:.0f}, not {text!r}"
        )
    return seconds


def _shape(text: str) -> tuple[str, Shape]:
    """Read `images=1,3,640,640`; a scalar has no lengths: `threshold=`."""
    name, _, lengths = text.rpartition("=")
    words = lengths.split(",") if lengths else []
    if not name or not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(
            f"expected a name and lengths as images=1,3,640,640, not {text!r}"
        )
    return name, tuple(map(int, words))
