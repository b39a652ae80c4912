"""A TUF repository as the cloud lays it out, made by python-tuf in a folder.

    metadata/N.root.json, N.targets.json, N.snapshot.json, N.<role>.json, timestamp.json
    targets/bundles/<model>/<version>/<sha256>.<variant>.tar
    targets/rollouts/<sha256>.<model>.json

Root is signed 2 of 3; `targets` delegates bundles to one role a model, rollouts to
the role `rollouts`. Every method writes, in the order that keeps each moment valid.
"""

import contextlib
import copy
import hashlib
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from packhorse.assignment import (
    BundleRef,
    RolloutDocument,
    bundle_target,
    encode_rollout,
    rollout_target,
)
from packhorse.names import Release
from tests.edge_runtime.certificates import speak_tls

DAY = timedelta(days=1)
YEAR = timedelta(days=365)


def release_role(model):
    return f"release-{model}"


class TufRepository:
    """A repository and every key of it."""

    def __init__(self, folder: Path, *, models=("magika",)):
        self.folder = folder
        self.models = tuple(models)
        self.root_signers = [CryptoSigner.generate_ecdsa() for _ in range(3)]
        roles = ["targets", "snapshot", "timestamp", "rollouts"]
        roles += [release_role(model) for model in self.models]
        self.signers = {role: CryptoSigner.generate_ecdsa() for role in roles}
        self.signed = {}
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()
        self._create()

    @property
    def root_bytes(self) -> bytes:
        """The first root, as it ships with a gateway."""
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    def publish_bundle(self, release: Release, body: bytes, *, variant="fp32"):
        """Store a bundle and let the model's release role vouch for it."""
        path = bundle_target(release, variant)
        target = TargetFile.from_data(path, body, ["sha256"])
        target.unrecognized_fields["custom"] = {
            "release": str(release),
            "variant": variant,
        }
        self._store(path, body)
        role = release_role(release.model)
        self.signed[role].targets[path] = target
        self.publish(role)
        digest = hashlib.sha256(body).hexdigest()
        return BundleRef(target=path, length_bytes=len(body), sha256=digest)

    def publish_rollout(self, document: RolloutDocument) -> None:
        """Store a rollout document and let the role `rollouts` vouch for it."""
        self.publish_rollout_bytes(document.model, encode_rollout(document))

    def publish_rollout_bytes(self, model: str, body: bytes) -> None:
        path = rollout_target(model)
        self._store(path, body)
        self.signed["rollouts"].targets[path] = TargetFile.from_data(
            path, body, ["sha256"]
        )
        self.publish("rollouts")

    def publish(self, role: str) -> None:
        """Sign a new version of a targets role, then snapshot and timestamp."""
        self.bump(role)
        self.signed["snapshot"].meta[f"{role}.json"] = MetaFile(
            version=self.signed[role].version
        )
        self.bump("snapshot")
        self.refresh_timestamp()

    def refresh_timestamp(self, *, expires=None) -> None:
        """Sign a new timestamp for the snapshot of now."""
        snapshot = self.signed["snapshot"].version
        self.signed["timestamp"].snapshot_meta = MetaFile(version=snapshot)
        self.signed["timestamp"].expires = expires or _now() + DAY
        self.bump("timestamp")

    def rotate(self, role: str) -> None:
        """Give a top-level online role a new key, through a new root."""
        root = self.signed["root"]
        old = self.signers[role]
        self.signers[role] = CryptoSigner.generate_ecdsa()
        root.revoke_key(old.public_key.keyid, role)
        root.add_key(self.signers[role].public_key, role)
        self.bump("root")

    def rotate_delegated(self, role: str) -> None:
        """Give a delegated role a new key, as the owner of `targets` does."""
        targets = self.signed["targets"]
        targets.revoke_key(self.signers[role].public_key.keyid, role)
        self.signers[role] = CryptoSigner.generate_ecdsa()
        targets.add_key(self.signers[role].public_key, role)
        self.publish("targets")

    def bump(self, role: str) -> None:
        """Write the next version of `role`."""
        self.signed[role].version += 1
        self.write(role)

    def write(self, role: str, *, signers=None) -> None:
        """Sign and write `role` as it is."""
        metadata = Metadata(copy.deepcopy(self.signed[role]))
        for signer in signers or self._signers(role):
            metadata.sign(signer, append=True)
        name = f"{self.signed[role].version}.{role}.json"
        path = "timestamp.json" if role == "timestamp" else name
        self._write(self.folder / "metadata" / path, metadata.to_bytes())

    def _create(self):
        root = Root(expires=_now() + YEAR, consistent_snapshot=True)
        for signer in self.root_signers:
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = 2
        for role in ("targets", "snapshot", "timestamp"):
            root.add_key(self.signers[role].public_key, role)
        self.signed = {
            "root": root,
            "targets": Targets(expires=_now() + YEAR),
            "snapshot": Snapshot(expires=_now() + YEAR),
            "timestamp": Timestamp(expires=_now() + DAY),
        }
        delegated = {release_role(m): [f"bundles/{m}/*/*"] for m in self.models}
        delegated["rollouts"] = ["rollouts/*"]
        self.signed["targets"].delegations = self._delegate(delegated)
        for role in delegated:
            self.signed[role] = Targets(expires=_now() + YEAR)
        for role in (*delegated, "targets"):
            self.signed["snapshot"].meta[f"{role}.json"] = MetaFile(version=1)
        for role in ("root", *delegated, "targets", "snapshot", "timestamp"):
            self.write(role)

    def _delegate(self, delegated):
        keys = {}
        roles = {}
        for name, paths in delegated.items():
            key = self.signers[name].public_key
            keys[key.keyid] = key
            roles[name] = DelegatedRole(
                name=name,
                keyids=[key.keyid],
                threshold=1,
                terminating=True,
                paths=paths,
            )
        return Delegations(keys=keys, roles=roles)

    def _signers(self, role):
        return self.root_signers[:2] if role == "root" else [self.signers[role]]

    def _store(self, path, body):
        folder, _, name = path.rpartition("/")
        digest = hashlib.sha256(body).hexdigest()
        self._write(self.folder / "targets" / folder / f"{digest}.{name}", body)

    @staticmethod
    def _write(path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(body)
        partial.replace(path)


def _now():
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Faults:
    """What the server does wrong, until told otherwise.

    `cut_after` breaks off bundle bodies after so many bytes, `cuts` times, or always
    where that is None; `status` answers all with that status; `tamper` flips the
    first byte of every bundle; `no_etag` leaves conditional requests alone;
    `not_modified` says 304 to whoever asks with one.
    The file `drip` comes byte by byte, `missing` does not come for now, and what
    does not exist is forbidden where `forbid_missing`. A path in `first` has another
    content once; `etag` is said of everything, `retry_after` with each `status`.
    """

    cut_after: int | None = None
    cuts: int | None = None
    status: int | None = None
    tamper: bool = False
    ignore_range: bool = False
    no_etag: bool = False
    not_modified: bool = False
    drip: str = ""
    missing: str = ""
    forbid_missing: bool = False
    first: dict[str, bytes] = field(default_factory=dict)
    etag: str = ""
    retry_after: str = ""

    def cut(self) -> int | None:
        """Return after how many bytes the next bundle breaks off, if it does."""
        if self.cuts is not None:
            if not self.cuts:
                return None
            self.cuts -= 1
        return self.cut_after


@dataclass
class RepositoryServer:
    """Serves a folder on loopback, ranges included, and writes down who asked."""

    folder: Path
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str]] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    def __post_init__(self):
        handler = partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if self.tls:
            speak_tls(self._server, self.tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def bundle_requests(self) -> list[str]:
        """The `Range` of every request for a bundle, in order; empty for none."""
        return [said for path, said in self.requests if "/bundles/" in path]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A body that waited for the head's acknowledgement would take 40 ms.
    disable_nagle_algorithm = True

    def __init__(self, owner, *args):
        self.owner = owner
        super().__init__(*args)

    def setup(self):
        super().setup()
        self.owner.connections += 1

    def handle(self):
        # A client that has seen enough closes, one that does not trust us too.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def do_GET(self):
        raw = urlsplit(self.path).path
        path = unquote(raw)
        said = self.headers.get("Range", "")
        self.owner.requests.append((path, said))
        file = self.owner.folder / raw.lstrip("/")
        if not file.is_file():
            file = self.owner.folder / path.lstrip("/")
        faults = self.owner.faults
        if faults.drip and path.endswith(f"/{faults.drip}"):
            self._drip()
            return
        if faults.missing and path.endswith(f"/{faults.missing}"):
            self._answer(503, b"")
            return
        if faults.status or not file.is_file():
            absent = 403 if faults.forbid_missing else 404
            wait = {"Retry-After": faults.retry_after} if faults.retry_after else {}
            self._answer(faults.status or absent, b"", wait)
            return
        body = faults.first.pop(path, None) or file.read_bytes()
        is_bundle = "/bundles/" in path
        if is_bundle and faults.tamper:
            body = bytes([body[0] ^ 1]) + body[1:]
        etag = "" if faults.no_etag else f'"{hashlib.md5(body).hexdigest()}"'
        etag = faults.etag or etag
        asked = self.headers.get("If-None-Match", "")
        self.owner.conditions.append(asked)
        if asked and (faults.not_modified or asked == etag):
            self._answer(304, b"", {"ETag": asked})
            return
        said = "" if faults.ignore_range else said
        self._send(body, said, {"ETag": etag} if etag else {}, is_bundle=is_bundle)

    def _send(self, body, said, headers, *, is_bundle):
        cut_after = self.owner.faults.cut() if is_bundle else None
        status = 200
        if said:
            first = int(said.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body = body[first:]
            status = 206
        self._answer(status, body, headers, cut_after)

    def _answer(self, status, body, headers=None, cut_after=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut_after is None else body[:cut_after])
        if cut_after is not None and cut_after < len(body):
            self.close_connection = True

    def _drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                self.wfile.write(b" ")
                time.sleep(0.05)
        self.close_connection = True

    def log_message(self, *args):
        pass
