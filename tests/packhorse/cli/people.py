"""`packhorse` as people type it, and what it speaks to."""

import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from functions.adapters.ledger import Ledger
from functions.release import rollout
from packhorse.assignment import BundleRef, bundle_target
from packhorse.cli.__main__ import main
from packhorse.names import Release
from tests.functions.servers import Identity
from tests.models import tiny_golden, tiny_model

OPERATOR = "operator@example.com"
PROGRAM = Path(sys.prefix) / "bin" / "packhorse"
NOBODY = "http://127.0.0.1:9"
"""Port 9 is the discard service: nothing answers there."""


@dataclass
class Person:
    """Someone with a terminal, and an environment."""

    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words, **environ):
        """Type a command; no exception ever comes out of it."""
        env = {**self.environ, **environ}
        result = CliRunner().invoke(main, [str(w) for w in words], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    def refused(self, *words, **environ):
        """Type a command that fails; return the one sentence it fails with."""
        result = self.run(*words, **environ)
        assert result.exit_code == 1, result.output
        lines = result.stderr.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("Error: ")
        assert result.stdout == ""
        return lines[0].removeprefix("Error: ")

    def misused(self, *words, **environ):
        """Type a command wrongly; return what is said about it."""
        result = self.run(*words, **environ)
        assert result.exit_code == 2, result.output
        return result.stderr

    def document(self, *words, **environ):
        """Type a command with `--json`; return the document."""
        result = self.run(*words, "--json", **environ)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def start(self, *words, **options):
        """Start the installed program."""
        return subprocess.Popen(
            [PROGRAM, *map(str, words)],
            env={
                "PATH": os.environ["PATH"],
                **{k: v for k, v in os.environ.items() if k.startswith("COV")},
                **self.environ,
            },
            **{
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                **options,
            },
        )


@dataclass
class Files:
    folder: Path

    def write(self, name, body):
        path = self.folder / name
        path.write_bytes(body)
        return path

    def model(self, version=1):
        return self.write(f"model-{version}.onnx", tiny_model(version))

    def golden(self, version=1, **arrays):
        """Write golden samples; `x` and `y` take the place of the right ones."""
        right = tiny_golden(tiny_model(version))
        found = {"input.x": right.inputs["x"], "output.y": right.outputs["y"]}
        path = self.folder / f"golden-{version}.npz"
        np.savez(path, **(found | arrays))
        return path


@dataclass
class Cloud:
    """The function `operate`, its ledger, and who vouches for operators."""

    url: str
    identity: Identity
    ledger: Ledger

    def environ(self, email=OPERATOR):
        query = f"audience={self.url}&email={email}"
        token = f"{self.identity.url}/token?{query}"
        script = (
            f"import urllib.request as u; print(u.urlopen('{token}').read().decode())"
        )
        return {
            "PACKHORSE_OPERATE_URL": self.url,
            "PACKHORSE_TOKEN_COMMAND": f'{sys.executable} -c "{script}"',
        }

    def release(self, release, *, is_stable=False):
        """Let a release come as far as its rollout, or to its end."""
        at = datetime.now(UTC) - timedelta(minutes=5)
        bundle = BundleRef(bundle_target(release, "fp32"), 1, f"{release.version:064x}")
        self.ledger.register_release(
            release,
            digest=f"sha256:{release.version:064x}",
            card={},
            variants=["fp32"],
            at=at,
        )
        self.ledger.variant_packaged(release, "fp32", bundle, at)
        self.ledger.published(release, at=at)
        self.ledger.deployed(release, at=at)
        self.ledger.open_rollout(release, at=at)
        if is_stable:
            record = self.ledger.rollout(release.model)
            self.save(rollout.finish(record), record.sequence)

    def publish(self, model):
        """Do what `advance_rollout` does after a change."""
        record = self.ledger.rollout(model)
        self.save(rollout.mark_published(record), record.sequence)

    def save(self, record, sequence):
        self.ledger.save_rollout(
            record, expected_sequence=sequence, at=datetime.now(UTC)
        )


def answers(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()


class Scripted:
    """A server that answers as a test says: (status, headers, body) by request."""

    def __init__(self):
        self.answers = {}
        self.seen = []
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                script.seen.append((self.command, self.path, dict(self.headers), body))
                found = script.find(self.command, self.path)
                if found is None:
                    self.close_connection = True
                    return
                status, headers, reply = found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply)

            do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    def on(self, method, path, *replies):
        """Answer so, one after the other, the last one for ever; None hangs up."""
        self.answers[method, path] = list(replies)

    def find(self, method, path):
        for key in ((method, path.partition("?")[0]), (method, "*"), ("*", "*")):
            if replies := self.answers.get(key):
                return replies.pop(0) if len(replies) > 1 else replies[0]
        return 404, {}, b""

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def reply(document, status=200, **headers):
    """Make a JSON reply."""
    return status, headers, json.dumps(document).encode()


RELEASE_1, RELEASE_2 = Release("magika", 1), Release("magika", 2)
