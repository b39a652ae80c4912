"""What the gateway believes: TUF's verification, with our own files around it.

python-tuf decides what may be trusted. It writes without flushing and removes
`root.json` before it links it anew, so it never touches the trusted metadata: it
works on a scratch copy, and what it verified becomes the next generation.

    <state>/trust/7/              one generation of trusted metadata, flushed
    <state>/trusted -> trust/7    the one that counts; swapped by one rename
    <state>/rollouts/             the rollout documents accepted last (accepted.py)

Every refresh starts from the root that was shipped with the gateway, so no lost
or broken file can leave it unable to start; the generation only ever adds.

Source: docs/protocol.md, 4; The Update Framework, 1.0.34, section 5
"""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from edge_runtime import durable
from edge_runtime.agent.accepted import accepted_document
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.fetcher import TufFetcher
from edge_runtime.agent.web import Web
from packhorse.assignment import (
    ROLLOUT_MAX_BYTES,
    BundleRef,
    RolloutDocument,
    decode_rollout,
    rollout_target,
)
from packhorse.errors import UntrustedError

ROOT_MAX_BYTES = 512_000
METADATA_MAX_BYTES = 2_000_000
"""Of one file: a release role with a thousand bundles has about 300 kB."""
DOCUMENT_S = 60.0

_CONFIG = UpdaterConfig(
    root_max_length=ROOT_MAX_BYTES,
    snapshot_max_length=METADATA_MAX_BYTES,
    targets_max_length=METADATA_MAX_BYTES,
    app_user_agent="packhorse",
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What the signed repository says now.

    Attributes:
        document: Every bundle that it names is vouched for by a release role.
        valid_until: When the timestamp expires that this was read under.
    """

    document: RolloutDocument
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted metadata of one model's repository.

    Attributes:
        repository_url: Has `/metadata/` and `/targets/` under it.
        root: The root metadata that was shipped with the gateway.
    """

    state_dir: Path
    repository_url: str
    root: bytes
    web: Web

    @property
    def metadata_dir(self) -> Path:
        """The link to the generation that counts."""
        return self.state_dir / "trusted"

    def refresh(self, model: str) -> Truth:
        """Fetch and verify what is new, and return what to believe now.

        Raises:
            UnavailableError: The repository did not answer; nothing is lost.
            UntrustedError: What it answered is not vouched for, or older than
                what was accepted before.
        """
        scratch = self._make_scratch()
        try:
            updater = self._updater(scratch)
            return self._read_truth(updater, scratch, model)
        except DownloadError as error:
            raise UnavailableError("the repository's metadata did not come") from error
        except RepositoryError as error:
            raise UntrustedError(
                f"the repository is not to be trusted: {error}"
            ) from error
        finally:
            # Also after a failure: each file that python-tuf kept is verified, and a
            # root or timestamp once seen must never be rolled back.
            self._adopt(scratch)

    def accepted(self, model: str) -> RolloutDocument | None:
        """Return the rollout document accepted last, or None."""
        return accepted_document(self.state_dir, self.metadata_dir, model).load()

    def _read_truth(self, updater: Updater, scratch: Path, model: str) -> Truth:
        updater.refresh()
        target = updater.get_targetinfo(rollout_target(model))
        if target is None:
            raise UntrustedError(f"no role vouches for a rollout of {model}")
        known = accepted_document(self.state_dir, scratch, model)
        found = known.find(target)
        body = self._fetch_document(target) if found is None else found
        document = decode_rollout(body)
        if document.model != model:
            raise UntrustedError(
                f"the rollout of {model} is about {document.model} instead"
            )
        known.check_follows(document)
        self._check_vouched(updater, document)
        if found is None:
            known.save(body)
        return Truth(document, _read_expiry(scratch))

    def _check_vouched(self, updater: Updater, document: RolloutDocument) -> None:
        """Refuse a document that names what no release role vouches for."""
        offers = (document.stable, document.candidate)
        for offer in [offer for offer in offers if offer is not None]:
            for variant, bundle in offer.variants.items():
                info = updater.get_targetinfo(bundle.target)
                _check_bundle(bundle, info, str(offer.release), variant)

    def _fetch_document(self, target: TargetFile) -> bytes:
        """Return the document that `target` vouches for."""
        if target.length > ROLLOUT_MAX_BYTES:
            raise UntrustedError(
                f"a rollout document may have {ROLLOUT_MAX_BYTES} bytes,"
                f" this one {target.length}"
            )
        with self.web.get(self._target_url(target)) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise UnavailableError(f"the rollout document came as {answer.status}")
            body = b"".join(answer.chunks(target.length + 1, DOCUMENT_S))
        target.verify_length_and_hashes(body)
        return body

    def _target_url(self, target: TargetFile) -> str:
        folder, _, name = target.path.rpartition("/")
        return target_url(self.repository_url, f"{folder}/{_sha256_of(target)}.{name}")

    def _updater(self, scratch: Path) -> Updater:
        return Updater(
            metadata_dir=str(scratch),
            metadata_base_url=f"{self.repository_url}/metadata/",
            fetcher=TufFetcher(self.web),
            config=_CONFIG,
            bootstrap=self.root,
        )

    def _make_scratch(self) -> Path:
        """Return a fresh copy of the trusted metadata for python-tuf to work on."""
        scratch = self.state_dir / "trust" / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        durable.make_dir(scratch.parent)
        if self.metadata_dir.is_dir():
            shutil.copytree(self.metadata_dir.resolve(), scratch)
        else:
            scratch.mkdir()
        return scratch

    def _adopt(self, scratch: Path) -> None:
        """Make what `scratch` holds the trusted generation, unless nothing changed."""
        found = _read_tree(scratch)
        shutil.rmtree(scratch)
        if not found or found == _read_tree(self.metadata_dir):
            return
        generation = self._next_generation()
        for name, body in found.items():
            durable.make_dir((generation / name).parent)
            durable.write_file(generation / name, body)
        durable.symlink_swap(self.metadata_dir, f"trust/{generation.name}")
        self._remove_generations_but(generation)

    def _next_generation(self) -> Path:
        """Return the next generation's folder, empty: nothing points at it."""
        names = [p.name for p in (self.state_dir / "trust").iterdir()]
        newest = max((int(name) for name in names if name.isdecimal()), default=0)
        path = self.state_dir / "trust" / str(newest + 1)
        durable.make_dir(path)
        return path

    def _remove_generations_but(self, kept: Path) -> None:
        for path in (self.state_dir / "trust").iterdir():
            if path.name != kept.name:
                durable.remove_tree(path)


def target_url(repository_url: str, path: str) -> str:
    """Return where a target lies; its names need no quoting (packhorse/names.py)."""
    return f"{repository_url}/targets/{path}"


def bundle_url(repository_url: str, bundle: BundleRef) -> str:
    """Return where a bundle lies: TUF's consistent snapshots prefix the hash."""
    folder, _, name = bundle.target.rpartition("/")
    return target_url(repository_url, f"{folder}/{bundle.sha256}.{name}")


def _check_bundle(
    bundle: BundleRef, info: TargetFile | None, release: str, variant: str
) -> None:
    """Refuse a bundle unless a release role vouches for exactly these bytes."""
    if info is None:
        raise UntrustedError(f"no release role vouches for {bundle.target}")
    vouched = (info.length, _sha256_of(info))
    if vouched != (bundle.length_bytes, bundle.sha256):
        raise UntrustedError(
            f"{bundle.target} is vouched for with {vouched[0]} bytes and SHA-256"
            f" {vouched[1]}, the rollout names {bundle.length_bytes}"
            f" and {bundle.sha256}"
        )
    custom = info.custom or {}
    about = (custom.get("release", release), custom.get("variant", variant))
    if about != (release, variant):
        raise UntrustedError(
            f"{bundle.target} is vouched for as {about[0]}, {about[1]},"
            f" not as {release}, {variant}"
        )


def _sha256_of(target: TargetFile) -> str:
    digest = target.hashes.get("sha256")
    if digest is None:
        raise UntrustedError(f"{target.path} is vouched for without a SHA-256")
    return digest


def _read_expiry(metadata_dir: Path) -> datetime:
    """Return when the timestamp in `metadata_dir`, verified before, expires."""
    stored = Metadata[Timestamp].from_file(str(metadata_dir / "timestamp.json"))
    return stored.signed.expires


def _read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under `folder` by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
