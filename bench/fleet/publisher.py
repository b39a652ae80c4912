"""The cloud side of the bench: the very repository that the functions write.

Only where it is written to differs: a folder, not a bucket.
"""

import hashlib
import io
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from securesystemslib.signer import CryptoSigner

from functions.adapters.tuf_repository import TufRepository
from packhorse.assignment import BundleRef, Offer, RolloutDocument, encode_rollout
from packhorse.assignment import bundle_target as target_of
from packhorse.bundle import write_bundle
from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import (
    GOLDEN_FILE,
    MODEL_FILE,
    Manifest,
    Member,
    RuntimeNeeds,
    TensorSpec,
)
from packhorse.names import Release
from packhorse.trust_root import RoleSigners, first_metadata, release_role

MODEL = "magika"
VARIANT = "fp32"
_ONLINE = ("snapshot", "timestamp", "rollouts", release_role(MODEL))


@dataclass(slots=True)
class FolderStore:
    """Objects in a folder, written as the adapter of Cloud Storage writes them."""

    folder: Path
    generation: int = 1

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        """Return an object's content; None where there is none."""
        path = self.folder / name
        return path.read_bytes()[: limit_bytes + 1] if path.is_file() else None

    def read_with_generation(
        self, name: str, limit_bytes: int
    ) -> tuple[bytes, int] | None:
        """Return an object's content, and the one generation that there is."""
        body = self.read(name, limit_bytes)
        return None if body is None else (body, self.generation)

    def write_once(self, name: str, body: bytes, **_said: object) -> bool:
        """Write an object unless it is there."""
        if (self.folder / name).exists():
            return False
        self._write(name, body)
        return True

    def write_if_generation(self, name: str, body: bytes, generation: int) -> bool:
        """Replace an object; nobody else writes here."""
        self._write(name, body)
        return generation == self.generation

    def list_names(self, prefix: str) -> Iterator[str]:
        """Yield the names of objects that begin so."""
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            if path.is_file() and name.startswith(prefix):
                yield name

    def _write(self, name: str, body: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        partial.write_bytes(body)
        partial.replace(path)


@dataclass(slots=True)
class Publisher:
    """Signs releases and rollout documents into the folder of a bucket."""

    folder: Path
    bundle_bytes: int
    _sequence: int = 0
    _offers: dict[int, Offer] = field(default_factory=dict)
    _repository: TufRepository = field(init=False)

    def __post_init__(self) -> None:
        """Make the keys and the first metadata."""
        keys = self.folder.parent / "keys"
        keys.mkdir()
        online = {role: CryptoSigner.generate_ecdsa() for role in _ONLINE}
        first = first_metadata(_make_signers(online), at=datetime.now(UTC))
        for name, body in first.items():
            path = self.folder / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        uris = {role: _save(keys / f"{role}.pem", key) for role, key in online.items()}
        store = FolderStore(self.folder)
        self._repository = TufRepository(store, uris, now=lambda: datetime.now(UTC))  # type: ignore[arg-type] # the same methods

    @property
    def root(self) -> bytes:
        """The root metadata that gateways are shipped with."""
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    def release(self, version: int) -> None:
        """Publish a version of the model."""
        release = Release(MODEL, version)
        body = _bundle(release, self.bundle_bytes)
        ref = BundleRef(
            target_of(release, VARIANT), len(body), hashlib.sha256(body).hexdigest()
        )
        folder, _, name = ref.target.rpartition("/")
        FolderStore(self.folder).write_once(
            f"targets/{folder}/{ref.sha256}.{name}", body
        )
        self._repository.publish_release(release, {VARIANT: ref})
        self._offers[version] = Offer(release, {VARIANT: ref})

    def roll_out(
        self,
        *,
        stable: int,
        candidate: int | None = None,
        share: int = 0,
        withdrawn: tuple[int, ...] = (),
    ) -> None:
        """Publish the model's next rollout document."""
        self._sequence += 1
        document = RolloutDocument(
            model=MODEL,
            sequence=self._sequence,
            stable=self._offers[stable],
            candidate=self._offers[candidate] if candidate else None,
            rollout_id=f"{MODEL}@{candidate}#1" if candidate else "",
            shares={0: share} if candidate else {},
            withdrawn=tuple(Release(MODEL, version) for version in withdrawn),
        )
        self._repository.publish_rollout(MODEL, encode_rollout(document))

    def refresh_timestamp(self) -> None:
        """Do what the schedule does each hour."""
        self._repository.refresh_timestamp()


def _make_signers(online: Mapping[str, CryptoSigner]) -> RoleSigners:
    make = CryptoSigner.generate_ecdsa
    return RoleSigners(
        root=[make(), make(), make()],
        targets=[make()],
        snapshot=online["snapshot"],
        timestamp=online["timestamp"],
        rollouts=online["rollouts"],
        releases={MODEL: online[release_role(MODEL)]},
    )


def _save(path: Path, signer: CryptoSigner) -> str:
    path.write_bytes(signer.private_bytes)
    return f"file2:{path}"


def _bundle(release: Release, length_bytes: int) -> bytes:
    """Make a bundle of about so many bytes; nobody runs its model here."""
    samples = GoldenSamples(
        {"x": np.ones((1, 4), np.float32)}, {"y": np.ones((1, 3), np.float32)}
    )
    golden = write_golden(samples)
    model = random.Random(release.version).randbytes(  # noqa: S311 - no secret
        max(1, length_bytes - len(golden) - _BUNDLE_OVERHEAD_BYTES)
    )
    bodies: Mapping[str, bytes] = {MODEL_FILE: model, GOLDEN_FILE: golden}
    manifest = Manifest(
        release=release,
        variant=VARIANT,
        source_digest=f"sha256:{hashlib.sha256(model).hexdigest()}",
        members=tuple(
            Member(name, len(body), hashlib.sha256(body).hexdigest())
            for name, body in bodies.items()
        ),
        inputs=(TensorSpec("x", "FP32", (-1, 4)),),
        outputs=(TensorSpec("y", "FP32", (-1, 3)),),
        needs=RuntimeNeeds(8, {"": 17}, "1.20.0"),
    )
    out = io.BytesIO()
    write_bundle(manifest, {k: io.BytesIO(b) for k, b in bodies.items()}, out)
    return out.getvalue()


_BUNDLE_OVERHEAD_BYTES = 4_000
"""The manifest, the headers and the padding."""
