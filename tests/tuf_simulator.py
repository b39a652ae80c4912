"""Any TUF repository: any roles, keys, thresholds and delegations, right or wrong.

Where `tuf_repository.py` lays out ours, this one plays whatever an attacker or a
stranger would publish. It writes into a folder that a `RepositoryServer` serves.
"""

import copy
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

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

YEAR = timedelta(days=365)
ONLINE = ("snapshot", "timestamp")


class TufSimulator:
    """A repository, its keys, and what it served at any time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.metadata = folder / "metadata"
        self.metadata.mkdir(parents=True)
        (folder / "targets").mkdir()
        self.with_hashes = False
        expires = now() + YEAR
        self.signed = {
            "root": Root(expires=expires, consistent_snapshot=True),
            "targets": Targets(expires=expires),
            "snapshot": Snapshot(expires=expires),
            "timestamp": Timestamp(expires=expires),
        }
        self.signers = {}
        for role in self.signed:
            self.signers[role] = []
            self.add_key(role)
        for role in ("root", "targets", "snapshot", "timestamp"):
            self.write(role)

    @property
    def root_bytes(self) -> bytes:
        return (self.metadata / "1.root.json").read_bytes()

    def add_key(self, role, delegator="root"):
        """Give `role` one key more, which signs from now on."""
        signer = CryptoSigner.generate_ed25519()
        self.signed[delegator].add_key(signer.public_key, role)
        self.signers[role].append(signer)
        return signer

    def replace_keys(self, *roles, delegator="root"):
        """Give each of `roles` one new key in place of all that it has."""
        for role in roles:
            for signer in self.signers[role]:
                keyid = signer.public_key.keyid
                self.signed[delegator].revoke_key(keyid, role)
            self.signers[role] = []
            self.add_key(role, delegator)

    def set_threshold(self, role, threshold):
        self.signed["root"].roles[role].threshold = threshold

    def delegate(self, role, delegator="targets", *, paths=("*",), terminating=False):
        """Let `delegator` delegate to `role`, which is made when it is new."""
        parent = self.signed[delegator]
        if parent.delegations is None:
            parent.delegations = Delegations(keys={}, roles={})
        parent.delegations.roles[role] = DelegatedRole(
            role, [], 1, terminating=terminating, paths=list(paths)
        )
        if role not in self.signed:
            self.signed[role] = Targets(expires=now() + YEAR)
            self.signed[role].version = 0
            self.signers[role] = [CryptoSigner.generate_ed25519()]
        for signer in self.signers[role]:
            parent.add_key(signer.public_key, role)

    def add_target(self, path, content, role="targets"):
        """Store a target, and let `role` vouch for it."""
        target = TargetFile.from_data(path, content, ["sha256"])
        self.signed[role].targets[path] = target
        self.store(path, content, target.hashes["sha256"])

    def store(self, path, content, digest=None):
        """Store bytes under the name of a target, whatever they are."""
        folder, _, name = path.rpartition("/")
        digest = digest or hashlib.sha256(content).hexdigest()
        place = self.folder / "targets" / folder / f"{digest}.{name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def publish(self, *roles):
        """Write the next version of each of `roles`, then what names them."""
        for role in roles:
            self.bump(role)
        if set(roles) - {"root", *ONLINE}:
            self.bump("snapshot")
        if set(roles) - {"root", "timestamp"}:
            self.bump("timestamp")

    def bump(self, role, *, signers=None):
        """Write the next version of one role."""
        self.signed[role].version += 1
        self.write(role, signers=signers)

    def write(self, role, *, signers=None):
        """Sign and write `role` as it is, and name it where it is named."""
        signed = copy.deepcopy(self.signed[role])
        metadata = Metadata(signed)
        for signer in self.signers[role] if signers is None else signers:
            metadata.sign(signer, append=True)
        body = metadata.to_bytes()
        self.file(role).write_bytes(body)
        self._name(role, signed.version, body)

    def file(self, role):
        """Return the path of the newest version of `role`."""
        name = f"{quote(role, safe='')}.json"
        prefix = "" if role == "timestamp" else f"{self.signed[role].version}."
        return self.metadata / f"{prefix}{name}"

    def _name(self, role, version, body):
        hashes = {"sha256": hashlib.sha256(body).hexdigest()}
        exact = {"length": len(body), "hashes": hashes} if self.with_hashes else {}
        if role == "snapshot":
            self.signed["timestamp"].snapshot_meta = MetaFile(version, **exact)
        elif role not in {"root", "timestamp"}:
            self.signed["snapshot"].meta[f"{role}.json"] = MetaFile(version, **exact)

    def save(self):
        """Return all that is served now, to be put back by `restore`."""
        return {path.name: path.read_bytes() for path in self.metadata.iterdir()}

    def restore(self, saved):
        """Serve again what was served then, and nothing newer."""
        for path in self.metadata.iterdir():
            path.unlink()
        for name, body in saved.items():
            (self.metadata / name).write_bytes(body)


def now():
    return datetime.now(UTC).replace(microsecond=0)
