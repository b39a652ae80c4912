"""A TUF repository as one machine trusts it: verified by python-tuf, kept by us.

python-tuf decides what may be trusted. It writes without flushing and removes
`root.json` before it links it anew, so it never touches the trusted metadata: it
works on a scratch copy, and what it verified becomes the next generation.

    <state>/trust/7/              one generation of trusted metadata, flushed
    <state>/trusted -> trust/7    the one that counts; swapped by one rename

Every look starts from the root that was shipped with the gateway, so no lost
or broken file can leave it unable to start; the generation only ever adds.

Nothing here knows what the targets are; `trust.py` does.

Source: docs/protocol.md, 8; The Update Framework, 1.0.34, section 5
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Timestamp

from edge_runtime import durable
from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.fetcher import TufFetcher
from edge_runtime.agent.trust.strict_updater import StrictUpdater
from packhorse.errors import UntrustedError
from packhorse.trust_root import SIGNED_AT

_HISTORY = "root_history"
"""Where python-tuf keeps every root that it followed."""


@dataclass(frozen=True, slots=True)
class View:
    """What the repository vouches for at one moment.

    Attributes:
        metadata_dir: Holds the verified metadata of every role, while it is open.
    """

    metadata_dir: Path
    updater: StrictUpdater
    targets_url: str
    web: Web

    @property
    def valid_until(self) -> datetime:
        """Return when the first of the roles expires that were asked until now."""
        return self.updater.valid_until

    def find(self, path: str) -> TargetFile | None:
        """Return what the roles say of the target `path`, None when nothing."""
        return self.updater.get_targetinfo(path)

    def url(self, target: TargetFile) -> str:
        """Return where the target lies."""
        if not self.updater.root.consistent_snapshot:
            return f"{self.targets_url}/{target.path}"
        folder, slash, name = target.path.rpartition("/")
        digest = next(iter(target.hashes.values()))
        return f"{self.targets_url}/{folder}{slash}{digest}.{name}"

    def read(self, target: TargetFile, *, most_bytes: int) -> bytes:
        """Return the content that `target` vouches for.

        Raises:
            UntrustedError: It has more than `most_bytes`.
            UnavailableError: It did not come.
            RepositoryError: What came is something else.
        """
        if target.length > most_bytes:
            raise UntrustedError(
                f"{target.path} may have {most_bytes} bytes, it has {target.length}"
            )
        with self.web.get(self.url(target)) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise UnavailableError(f"{target.path} came as {answer.status}")
            body = b"".join(answer.chunks(target.length + 1, self.web.body_s))
        target.verify_length_and_hashes(body)
        return body


@dataclass(frozen=True, slots=True)
class TrustedRepository:
    """The trusted metadata of one repository.

    Attributes:
        root: The root metadata that was shipped with the gateway.
    """

    state_dir: Path
    metadata_url: str
    targets_url: str
    root: bytes
    web: Web
    clock: Clock

    @property
    def metadata_dir(self) -> Path:
        """The link to the generation that counts."""
        return self.state_dir / "trusted"

    @property
    def timestamp_url(self) -> str:
        """Where the one file lies that changes."""
        return f"{self.metadata_url}/timestamp.json"

    @contextmanager
    def opened(self, *, timestamp: bytes | None = None) -> Iterator[View]:
        """Fetch and verify what is new, and keep it when the view is closed.

        Args:
            timestamp: What lies at `timestamp_url`, where that is known.

        Raises:
            UnavailableError: The repository did not answer; nothing is lost.
            UntrustedError: What it answered is not vouched for, has expired, or is
                older than what was accepted before.
        """
        scratch = self._make_scratch()
        try:
            fetched = {} if timestamp is None else {self.timestamp_url: timestamp}
            updater = self._refreshed(scratch, fetched)
            yield View(scratch, updater, self.targets_url, self.web)
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

    def _refreshed(self, scratch: Path, fetched: Mapping[str, bytes]) -> StrictUpdater:
        """Return an updater that knows the top-level roles of now."""
        try:
            updater = self._refresh(scratch, fetched)
        except (RepositoryError, DownloadError):
            if not self._has_lost_keys(scratch):
                raise
            # What came under a key that is taken away binds nobody, or whoever stole
            # it could count up to the last number there is. The specification says
            # so (5.3.11), python-tuf leaves it to the signatures; and what was
            # fetched before the root was may be older than the root.
            for role in (Timestamp.type, Snapshot.type):
                (scratch / f"{role}.json").unlink(missing_ok=True)
            self.clock.forget()
            updater = self._refresh(scratch, {})
        self._note_time(updater.timestamp)
        return updater

    def _refresh(self, scratch: Path, fetched: Mapping[str, bytes]) -> StrictUpdater:
        updater = StrictUpdater(
            metadata_dir=str(scratch),
            metadata_base_url=self.metadata_url,
            fetcher=TufFetcher(self.web, fetched),
            root=self.root,
            now=self.clock.now(),
        )
        updater.refresh()
        return updater

    def _has_lost_keys(self, scratch: Path) -> bool:
        """Say whether a new root takes a key from timestamp or snapshot."""
        before = _read_root(self.metadata_dir)
        now = _read_root(scratch)
        if before is None or now is None:
            return False
        return bool(_online_keys(before) - _online_keys(now))

    def _note_time(self, timestamp: Timestamp) -> None:
        """Let time not go back behind the signing of a verified timestamp."""
        with contextlib.suppress(ValueError, OverflowError):
            text = str(timestamp.unrecognized_fields.get(SIGNED_AT))
            signed_at = datetime.fromisoformat(text).astimezone(UTC)
            if signed_at < timestamp.expires:
                self.clock.note(signed_at)

    def _make_scratch(self) -> Path:
        """Return a fresh copy of the trusted metadata for python-tuf to work on."""
        scratch = self.state_dir / "trust" / "scratch"
        # What stands in the way was put there by a broken disk, or by hand.
        if not scratch.parent.is_dir():
            durable.unlink(scratch.parent)
        durable.make_dir(scratch.parent)
        if scratch.is_dir():
            shutil.rmtree(scratch)
        scratch.unlink(missing_ok=True)
        (scratch / _HISTORY).mkdir(parents=True)
        for name, body in _read_tree(self.metadata_dir).items():
            (scratch / name).write_bytes(body)
        return scratch

    def _adopt(self, scratch: Path) -> None:
        """Make what `scratch` holds the trusted generation, unless nothing changed."""
        found = _read_tree(scratch)
        shutil.rmtree(scratch)
        if not found or found == _read_tree(self.metadata_dir):
            return
        if not self.metadata_dir.is_symlink():
            durable.remove_tree(self.metadata_dir)
        # What a full disk cut short gives its space back first.
        self._remove_generations_but(self._generation())
        generation = self._next_generation()
        durable.write_tree(generation, found)
        durable.symlink_swap(self.metadata_dir, f"trust/{generation.name}")
        self._remove_generations_but(generation.name)

    def _generation(self) -> str:
        """Return the name of the generation that counts; empty where there is none."""
        link = self.metadata_dir
        return link.readlink().name if link.is_symlink() else ""

    def _next_generation(self) -> Path:
        """Return the next generation's folder, which is still to be made."""
        names = [p.name for p in (self.state_dir / "trust").iterdir()]
        newest = max((int(name) for name in names if name.isdecimal()), default=0)
        return self.state_dir / "trust" / str(newest + 1)

    def _remove_generations_but(self, kept: str) -> None:
        # An agent that was killed may have left the link to `kept` unflushed.
        durable.fsync_dir(self.state_dir)
        for path in (self.state_dir / "trust").iterdir():
            if path.name != kept:
                durable.remove_tree(path)


def _read_root(metadata_dir: Path) -> Root | None:
    """Return the root in `metadata_dir`, verified before; None where it is lost."""
    try:
        body = (metadata_dir / "root.json").read_bytes()
        return Metadata[Root].from_bytes(body).signed
    except (OSError, RepositoryError):
        return None


def _online_keys(root: Root) -> set[tuple[str, str]]:
    """Return who may sign the two online roles: each role with each key id."""
    roles = (Timestamp.type, Snapshot.type)
    return {(role, keyid) for role in roles for keyid in root.roles[role].keyids}


def _read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of python-tuf's files in `folder`, by relative path."""
    paths = [*folder.glob("*.json"), *folder.glob(f"{_HISTORY}/*.root.json")]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(paths)
        if path.is_file()
    }
