"""One server of the ring: started, asked until it is right, checked, stopped."""

import functools
import http.client
import math
import os
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped] # it has no types

from bench.serving.entrants import Entrant
from bench.serving.onnx_models import model_path
from bench.serving.processes import Tree
from bench.serving.samples import Request, decode, encode, sample, served_name

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 32
"""Different rows in the check of many at once: a wrong neighbour shows."""

_ANSWER_S = 20.0
_ASK_PAUSE_S = 0.01
_TOGETHER = 16
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5
_OUR_OWN = ("PATH", "LANG")
"""What of our environment a server sees."""


class EntrantError(Exception):
    """A server did not start, or did not answer rightly."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bench keeps its things, and how it runs servers.

    Attributes:
        cache: Environments, models and what servers write.
        edge_runtime: Our server's program.
        workers: Processes that each peer may use for the model.
    """

    cache: Path
    edge_runtime: Path
    workers: int = 2

    @property
    def models(self) -> Path:
        """The folder of the model repositories."""
        return self.cache / "models"

    def directory(self, name: str) -> Path:
        """Return a folder for what belongs to `name`."""
        path = self.cache / "work" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class Session:
    """The model in this process: what is right, and what the run alone costs."""

    def __init__(self, place: Place, model: str) -> None:
        """Open it with one thread, as all do."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = model
        self._session = onnxruntime.InferenceSession(
            str(model_path(place.models, model)),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._expected: dict[int, np.ndarray] = {}

    def expected(self, seed: int) -> np.ndarray:
        """Return what the model answers to that sample."""
        if seed not in self._expected:
            self._expected[seed] = self._run(sample(self._model, seed)).ravel()
        return self._expected[seed]

    def run_us(self, seconds: float) -> float:
        """Return the CPU time of one run, in µs."""
        x, count = sample(self._model), 0
        begun_s, until_s = time.thread_time(), time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._run(x)
            count += 1
        return (time.thread_time() - begun_s) / count * 1e6

    def _run(self, x: np.ndarray) -> np.ndarray:
        answer: np.ndarray = self._session.run(None, {"x": x})[0]
        return answer


class Running:
    """One server with one model."""

    def __init__(
        self, entrant: Entrant, model: str, place: Place, session: Session
    ) -> None:
        """Start it."""
        self.entrant, self.model, self._session = entrant, model, session
        self.started_s = math.inf
        self.port, *others = _free_ports(3)
        directory = place.directory(f"{entrant.name}-{model}")
        venv = place.cache / "venvs" / (entrant.venv or "none")
        path = model_path(place.models, model)
        values = {
            "bin": venv / "bin",
            "cache": place.cache,
            "directory": directory,
            "edge_runtime": place.edge_runtime,
            "model": served_name(model),
            "port": self.port,
            "port2": others[0],
            "port3": others[1],
            "repository": path.parents[2],
            "workers": place.workers,
        }
        self._fill = functools.partial(_fill, values)
        (directory / "state").mkdir(exist_ok=True)
        self._log = directory.with_suffix(".log")
        self.tree = Tree(
            [self._fill(word) for word in entrant.command],
            _environ(values)
            | {k: self._fill(v) for k, v in entrant.environ.items()}
            | {"BENCH_MODEL_FILE": str(path)},
            directory,
            self._log,
        )

    def path(self, form: str) -> str:
        """Return where to post that form."""
        return self._fill(self.entrant.paths[form])

    def await_answer(self) -> None:
        """Ask until the answer is right; note in `started_s` how long that took.

        Raises:
            EntrantError: It ended, or gave no right answer in time.
        """
        form, reason = next(iter(self.entrant.paths)), "no answer"
        while time.monotonic() - self.tree.begun_s < self.entrant.boot_s:
            if not self.tree.is_alive:
                raise EntrantError(f"ended while starting; see {self._log}")
            try:
                self.check(form)
            except (OSError, http.client.HTTPException, EntrantError) as error:
                reason = str(error)
                time.sleep(_ASK_PAUSE_S)
            else:
                self.started_s = time.monotonic() - self.tree.begun_s
                return
        raise EntrantError(f"not right after {self.entrant.boot_s:.0f} s: {reason}")

    def check(self, form: str, seed: int = 0) -> None:
        """Compare an answer with onnxruntime's own.

        Raises:
            EntrantError: It is another.
        """
        status, headers, body = self._ask(form, encode(form, sample(self.model, seed)))
        if status != http.client.OK:
            raise EntrantError(f"answered {status}: {body[:200]!r}")
        if self.entrant.is_constant:
            return
        try:
            got = decode(headers, body)
        except ValueError as error:
            raise EntrantError(str(error)) from error
        compare(got, self._session.expected(seed))

    def check_together(self, form: str) -> None:
        """Ask for many different rows at once, and compare every answer.

        Raises:
            EntrantError: One is another row's, or wrong.
        """
        with ThreadPoolExecutor(_TOGETHER) as pool:
            list(pool.map(functools.partial(self.check, form), range(SAMPLES)))

    def stop(self) -> None:
        """End it and all that it started."""
        self.tree.stop()

    def _ask(self, form: str, request: Request) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=_ANSWER_S
        )
        with closing(connection):
            connection.request(
                "POST", self.path(form), request.body, dict(request.headers)
            )
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()


def compare(got: np.ndarray, expected: np.ndarray) -> None:
    """Compare two answers, whose batches may have been added up otherwise.

    Raises:
        EntrantError: They differ.
    """
    if got.shape != expected.shape or not np.allclose(
        got, expected, rtol=_RELATIVE, atol=_ABSOLUTE
    ):
        raise EntrantError(f"expected {expected}, came {got}")


def _environ(values: Mapping[str, object]) -> dict[str, str]:
    """Return what every server is told; none tells its maker what runs here."""
    own = {name: os.environ[name] for name in _OUR_OWN if name in os.environ}
    return own | {
        "BENCH_DIRECTORY": str(values["directory"]),
        "BENCH_MODEL": str(values["model"]),
        "BENCH_PORT": str(values["port"]),
        "BENCH_WORKERS": str(values["workers"]),
        "DO_NOT_TRACK": "1",
        "HOME": str(values["directory"]),
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
    }


def _fill(values: Mapping[str, object], text: str) -> str:
    return text.format(**values)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
