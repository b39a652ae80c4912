"""Drive a TUF client through its command line, as the public suites do.

Each call would be a process; here `tuf_client.main` is called in this one, which
takes a twentieth of the time. `TUF_CLIENT=tests/tuf_client` starts processes, or any
other client that has the same options.
"""

import os
import shlex
import subprocess
from pathlib import Path

from tuf.api.metadata import Metadata

from tests import tuf_client
from tests.wall_clock import started_at

COMMAND = Path(__file__).parent / "tuf_client"


class Suite:
    """Runs the command, and looks at what it leaves behind."""

    def __init__(self, folder, server, command=None):
        self.metadata_dir = folder / "metadata"
        self.target_dir = folder / "downloads"
        self.metadata_dir.mkdir()
        self.target_dir.mkdir()
        self._server = server
        self._folder = folder
        self._command = command or shlex.split(os.environ.get("TUF_CLIENT", ""))

    def init(self, root):
        file = self._folder / "initial_root.json"
        file.write_bytes(root)
        return self._run("init", str(file))

    def refresh(self, *, at=None):
        return self._run(
            "--metadata-url", f"{self._server.url}/metadata/", "refresh", at=at
        )

    def download(self, *names, at=None):
        options = ["--metadata-url", f"{self._server.url}/metadata"]
        for name in names:
            options += ["--target-name", name]
        options += ["--target-dir", str(self.target_dir)]
        options += ["--target-base-url", f"{self._server.url}/targets/"]
        return self._run(*options, "download", at=at)

    def _run(self, *words, at=None):
        """Run the command, as if it were the time `at`; return how it ended."""
        words = ["--metadata-dir", str(self.metadata_dir), *words]
        if at is None and not self._command:
            return run_here(words)
        environ = started_at(at, self._folder) if at else {}
        return subprocess.run(
            [*(self._command or [COMMAND]), *words],
            check=False,
            capture_output=True,
            env={**os.environ, **environ},
        ).returncode

    def trusted(self):
        """Return the versions of all that is trusted, by its file's name."""
        return {
            path.name.removesuffix(".json"): Metadata.from_file(
                str(path)
            ).signed.version
            for path in self.metadata_dir.glob("*.json")
        }

    def downloaded(self):
        """Return the content of every file under the folder for targets."""
        files = [path for path in self.target_dir.rglob("*") if path.is_file()]
        return sorted(path.read_bytes() for path in files)

    def asked(self):
        """Return the files asked for since the last call, in order."""
        asked = [path.partition("/metadata/")[2] for path, _ in self._server.requests]
        self._server.requests.clear()
        return asked


def run_here(words):
    """Return the exit code that a process would have."""
    try:
        return tuf_client.main(words)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
