"""A signed repository whose keys the test holds, served by a bucket that counts.

It can do what no function of ours would: sign old versions, leave things out, lie.
"""

import hashlib
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile, Targets

from functions.release.metadata import metadata_object, target_object
from packhorse.assignment import (
    BundleRef,
    Offer,
    RolloutDocument,
    bundle_target,
    encode_rollout,
    rollout_target,
)
from packhorse.names import Release
from packhorse.trust_root import RoleSigners, first_metadata

BUCKET = "bundles"
TIMESTAMP = "metadata/timestamp.json"


def offer(version, model="magika"):
    release = Release(model, version)
    bundle = BundleRef(bundle_target(release, "fp32"), 3, "0" * 64)
    return Offer(release, {"fp32": bundle})


def rollout(sequence, *, stable=1, candidate=None, withdrawn=(), model="magika"):
    """Make a document; releases are given by their numbers."""
    return RolloutDocument(
        model=model,
        sequence=sequence,
        stable=offer(stable, model) if stable else None,
        candidate=offer(candidate, model) if candidate else None,
        rollout_id=f"{model}@{candidate}#1" if candidate else "",
        withdrawn=tuple(Release(model, version) for version in withdrawn),
    )


class SignedBucket:
    """The objects of a bucket, by name."""

    def __init__(self):
        self.roots = [CryptoSigner.generate_ecdsa() for _ in range(3)]
        names = ("targets", "snapshot", "timestamp", "rollouts", "release")
        self.signers = {name: CryptoSigner.generate_ecdsa() for name in names}
        self.objects = {}
        first = first_metadata(
            RoleSigners(
                root=self.roots,
                targets=[self.signers["targets"]],
                snapshot=self.signers["snapshot"],
                timestamp=self.signers["timestamp"],
                rollouts=self.signers["rollouts"],
                releases={"magika": self.signers["release"]},
            ),
            at=datetime.now(UTC),
        )
        for name, body in first.items():
            self.objects[f"metadata/{name}"] = body
        self.first_root = first["1.root.json"]
        roles = ("root", "targets", "snapshot", "rollouts")
        self.signed = {r: self.read(metadata_object(r, 1)).signed for r in roles}
        self.signed["timestamp"] = self.read(TIMESTAMP).signed

    def read(self, name):
        return Metadata.from_bytes(self.objects[name])

    def sign(self, role, *signers):
        """Sign the next version of a role, and put it where it belongs."""
        signed = self.signed[role]
        signed.version += 1
        metadata = Metadata(signed)
        for signer in signers or (self.signers[role],):
            metadata.sign(signer, append=True)
        body = metadata.to_bytes()
        self.objects[metadata_object(role, signed.version)] = body
        return MetaFile.from_data(signed.version, body, ["sha256"])

    def publish(self, *documents):
        """Vouch for documents, and for nothing else of the role."""
        self.signed["rollouts"].targets = {}
        for document in documents:
            self.put(rollout_target(document.model), encode_rollout(document))
        self.name("rollouts")

    def put(self, path, body):
        target = TargetFile.from_data(path, body, ["sha256"])
        self.signed["rollouts"].targets[path] = target
        name = target_object(path, hashlib.sha256(body).hexdigest())
        self.objects[name] = body
        return name

    def name(self, role):
        """Sign a role anew, and let it count."""
        self.signed["snapshot"].meta[f"{role}.json"] = self.sign(role)
        self.refresh()

    def refresh(self):
        """Sign the snapshot and the timestamp that name what there is."""
        self.signed["timestamp"].snapshot_meta = self.sign("snapshot")
        self.stamp()

    def stamp(self):
        self.sign("timestamp")

    def expire(self, role, *, in_s=-60):
        """Let a role end at a moment, and sign all that stands on it."""
        at = datetime.now(UTC) + timedelta(seconds=in_s)
        self.signed[role].expires = at.replace(microsecond=0)
        if role == "timestamp":
            self.stamp()
        elif role == "snapshot":
            self.refresh()
        else:
            self.name(role)

    def rotate(self, role):
        """Give an online role another key, by a new root; return the old one."""
        before, after = self.signers[role], CryptoSigner.generate_ecdsa()
        root = self.signed["root"]
        assert isinstance(root, Root)
        root.revoke_key(before.public_key.keyid, role)
        root.add_key(after.public_key, role)
        self.signers[role] = after
        self.sign("root", *self.roots[:2])
        return before

    def rotate_rollouts(self):
        """Give the role `rollouts` another key, by new targets."""
        before, after = self.signers["rollouts"], CryptoSigner.generate_ecdsa()
        targets = self.signed["targets"]
        assert isinstance(targets, Targets)
        targets.revoke_key(before.public_key.keyid, "rollouts")
        targets.add_key(after.public_key, "rollouts")
        self.signers["rollouts"] = after
        self.name("targets")


class BucketServer:
    """Serves a bucket as Cloud Storage's XML API does, and does as it is told.

    Attributes:
        asked: Each request: the object's name, and the status it was answered with.
        tokens: What came as `Authorization`.
        fault: A status that every request is answered with.
        is_plain: Whether it knows no conditions, as fake-gcs-server.
        served: Set when a request came.
        open: While it is not set, no request is answered.
    """

    def __init__(self, objects):
        self.objects = objects
        self.asked = []
        self.tokens = []
        self.fault = 0
        self.is_plain = False
        self.served = threading.Event()
        self.open = threading.Event()
        self.open.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.answer(self)

            def log_message(self, *args):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Whoever asked may have left.
        self._server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, request):
        name = re.sub(rf"^/{BUCKET}/", "", request.path)
        self.tokens.append(request.headers.get("Authorization"))
        self.served.set()
        self.open.wait(30)
        body = self.objects.get(name)
        etag = f'"{hashlib.md5(body or b"").hexdigest()}"'
        known = None if self.is_plain else request.headers.get("If-None-Match")
        status = self.fault or (404 if body is None else 304 if known == etag else 200)
        self.asked.append((name, status))
        request.send_response(status)
        if not self.is_plain:
            request.send_header("ETag", etag)
        sent = body if status == 200 else b"" if status == 304 else b"<Error/>"
        if status != 304:
            request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent)

    def names(self):
        """Return what was asked for since the last call."""
        names = [name for name, _ in self.asked]
        self.asked.clear()
        return names

    def stop(self):
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
