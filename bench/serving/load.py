"""Closed loops of requests, by wrk: one window of load on one server.

Source: wrk(1), and its SCRIPTING file.
"""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.serving.processes import Tree, machine_busy_s
from bench.serving.samples import Request

_SCRIPT = Path(__file__).with_name("load.lua")
_ANSWER_S = 10
"""What takes longer counts as a broken connection."""

_GRACE_S = 30


class LoadError(Exception):
    """The load could not be made, or the server did not bear it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    Attributes:
        requests: Of one kind; their bodies take turns.
        is_varied: Whether every request's head differs.
        expected: What must stand in every answer; empty to look at none.
    """

    path: str
    requests: Sequence[Request]
    connections: int
    is_varied: bool = False
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one window showed.

    Attributes:
        cpu_us: CPU time of the server's whole process tree, for each request.
        client_cpu_us: The same of the load generator.
        others_share: Share of the machine that neither used but others did.
    """

    requests: int
    per_s: float
    cpu_us: float
    client_cpu_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    others_share: float


def find_wrk() -> str:
    """Return where the load generator is.

    Raises:
        LoadError: It is not installed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError("the load generator is missing: apt-get install wrk")
    return wrk


def run_load(
    tree: Tree, port: int, load: Load, directory: Path, seconds: int
) -> Measured:
    """Send the load for so long, and see what it cost.

    Raises:
        LoadError: Some request was not answered by 200, or not by what is expected.
    """
    command = _command(port, load, seconds)
    environ = os.environ | _environ(load, directory)
    busy_s, cpu_s, begun_s = machine_busy_s(), tree.cpu_s(), time.monotonic()
    output, client_s = _run(command, environ, seconds)
    cpu_s, wall_s = tree.cpu_s() - cpu_s, time.monotonic() - begun_s
    others_s = machine_busy_s() - busy_s - cpu_s - client_s
    result = _read_result(output)
    tree.wait_quiet()
    count = int(result["requests"])
    return Measured(
        requests=count,
        per_s=count / result["seconds"],
        cpu_us=cpu_s / count * 1e6,
        client_cpu_us=client_s / count * 1e6,
        p50_us=result["p50_us"],
        p90_us=result["p90_us"],
        p99_us=result["p99_us"],
        others_share=max(0.0, others_s / wall_s / (os.cpu_count() or 1)),
    )


def _command(port: int, load: Load, seconds: int) -> list[str]:
    return [
        find_wrk(),
        "--threads=1",
        f"--connections={load.connections}",
        f"--duration={seconds}s",
        f"--timeout={_ANSWER_S}s",
        f"--script={_SCRIPT}",
        f"http://127.0.0.1:{port}{load.path}",
    ]


def _environ(load: Load, directory: Path) -> dict[str, str]:
    """Write the bodies to files; say to the script where they are."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"body-{number}" for number in range(len(load.requests))]
    for path, request in zip(paths, load.requests, strict=True):
        path.write_bytes(request.body)
    headers = load.requests[0].headers
    return {
        "BENCH_HEADERS": "".join(f"{name}: {value}\n" for name, value in headers),
        "BENCH_BODIES": "\n".join(map(str, paths)),
        "BENCH_VARIED": "1" if load.is_varied else "0",
        "BENCH_EXPECTED": load.expected,
    }


def _run(
    command: list[str], environ: dict[str, str], seconds: int
) -> tuple[str, float]:
    """Run the load generator; return its output and its CPU time in seconds."""
    with subprocess.Popen(  # noqa: S603 - wrk
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as wrk:
        before_s = _ended_children_s()
        try:
            output, _ = wrk.communicate(timeout=seconds + _ANSWER_S + _GRACE_S)
        except subprocess.TimeoutExpired as error:
            wrk.kill()
            raise LoadError("the load generator did not end") from error
    return output, _ended_children_s() - before_s


def _ended_children_s() -> float:
    """Return the CPU time of our own children that ended; no server ends meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_result(output: str) -> dict[str, float]:
    """Read the script's line.

    Raises:
        LoadError: There is none, or a request went wrong.
    """
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise LoadError(f"the load generator failed: {output[-300:]!r}")
    result: dict[str, float] = json.loads(lines[0])
    if result["refused"] or result["broken"] or not result["requests"]:
        raise LoadError(f"not all was answered by 200: {lines[0]}")
    if result["wrong"]:
        raise LoadError(f"some answers were wrong: {lines[0]}")
    return result
