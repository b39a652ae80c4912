"""One function of the ring: started as the framework is, asked until it is right."""

import http.client
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.predict.entrants import Entrant
from bench.predict.samples import SMALL, is_right, request_body
from bench.serving.processes import Tree
from bench.serving.venvs import make_venv
from cloudbuild.archive import write_archive
from local_cloud.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
_ANSWER_S = 20.0
_ASK_PAUSE_S = 0.01
_BOOT_S = 60.0
_OUR_OWN = ("PATH", "LANG")
"""What of our environment a function sees."""

_PINS = Path(__file__).with_name("requirements")


class FunctionError(Exception):
    """A function did not start, or did not answer rightly."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bench keeps its things, and where everybody finds Google.

    Attributes:
        cache: Environments, the unpacked deploy archive, what functions print.
        upstream_port: Of Vertex AI's stand-in.
        grpc_port: Of the same for gRPC.
        identity_port: Of the metadata server's.
    """

    cache: Path
    upstream_port: int
    grpc_port: int
    identity_port: int

    @property
    def archive(self) -> Path:
        """The deployed function's source, unpacked."""
        return self.cache / "predict" / "archive"

    def prepare(self, entrant: Entrant) -> None:
        """Install what a function needs.

        Raises:
            VenvError: It cannot be installed here.
        """
        if not entrant.venv:
            return
        # Ours is installed from the file that is deployed with it.
        pins = _PINS if entrant.source else ROOT / "requirements"
        make_venv(entrant.venv, self.cache / "venvs", pins)
        if not entrant.source:
            self._unpack()

    def command(self, entrant: Entrant) -> list[str]:
        """Return how production starts it."""
        return [
            str(self.cache / "venvs" / entrant.venv / "bin" / "functions-framework")
        ]

    def environ(self, entrant: Entrant, port: int) -> dict[str, str]:
        """Return what the function is told, and nothing else of ours."""
        own = {name: os.environ[name] for name in _OUR_OWN if name in os.environ}
        identity = f"127.0.0.1:{self.identity_port}"
        places = {
            "upstream": f"127.0.0.1:{self.upstream_port}",
            "grpc": f"127.0.0.1:{self.grpc_port}",
        }
        if entrant.source:
            own["FUNCTION_SOURCE"] = str(ROOT / entrant.source)
        return own | {
            "CLOUDSDK_CONFIG": str(self.cache / "predict" / "no-gcloud"),
            "FUNCTION_TARGET": "predict",
            "GCE_METADATA_HOST": identity,
            "GCE_METADATA_IP": identity,
            "HOME": str(self.cache / "predict"),
            "PORT": str(port),
            **{k: v.format_map(places) for k, v in entrant.environ.items()},
        }

    def _unpack(self) -> None:
        """Unpack the deploy archive, and compile it as the builder does."""
        packed = self.cache / "predict" / "archive.zip"
        write_archive("predict", packed)
        shutil.rmtree(self.archive, ignore_errors=True)
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(self.archive)
        compile_all = [sys.executable, "-m", "compileall", "-q", str(self.archive)]
        subprocess.run(compile_all, check=True)  # noqa: S603


class Running:
    """One function that runs, or the upstream itself."""

    def __init__(self, entrant: Entrant, tree: Tree, port: int, log: Path) -> None:
        """Only remember."""
        self.entrant, self.tree, self.port, self._log = entrant, tree, port, log
        self.started_s = 0.0
        self._body = request_body(SMALL)

    def await_answer(self) -> None:
        """Ask until the answer is right; note in `started_s` how long that took.

        Raises:
            FunctionError: It ended, or gave no right answer in time.
        """
        reason, until_s = "no answer", time.monotonic() + _BOOT_S
        while time.monotonic() < until_s:
            if not self.tree.is_alive:
                raise FunctionError(f"ended while starting; see {self._log}")
            try:
                self.check(self._body)
            except (OSError, http.client.HTTPException, FunctionError) as error:
                reason = str(error)
                time.sleep(_ASK_PAUSE_S)
            else:
                self.started_s = time.monotonic() - self.tree.begun_s
                return
        raise FunctionError(
            f"not right after {_BOOT_S:.0f} s: {reason}; see {self._log}"
        )

    def check(self, body: bytes) -> None:
        """Look whether an answer is what the upstream answered.

        Raises:
            FunctionError: It is another.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=_ANSWER_S
        )
        headers = {"Content-Type": "application/json"}
        with closing(connection):
            connection.request("POST", self.entrant.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != http.client.OK or not is_right(content):
            raise FunctionError(f"answered {answer.status}: {content[:200]!r}")

    def stop(self) -> None:
        """End it and all that it started."""
        self.tree.stop()


def start_function(entrant: Entrant, place: Place) -> Running:
    """Start a function; do not wait for it."""
    port = free_port()
    folder = place.cache / "predict"
    directory = folder if entrant.source else place.archive
    log = folder / f"{entrant.name}.log"
    tree = Tree(place.command(entrant), place.environ(entrant, port), directory, log)
    return Running(entrant, tree, port, log)


def start_stand_in(module: str, cache: Path, *options: str) -> Tree:
    """Start one of the bench's own servers."""
    folder = cache / "predict"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, *options]
    return Tree(command, _own_environ(), ROOT, folder / f"{module}.log")


def _own_environ() -> Mapping[str, str]:
    return {name: os.environ[name] for name in _OUR_OWN if name in os.environ}
