"""What the registry knows about its content, in one SQLite file.

One transaction holds a change and the notices that announce it, so a kill at
any moment leaves both or neither. Content is stored before it is entered here;
content that nothing enters is harmless.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.registry import notices
from local_cloud.registry.errors import Code, RegistryError
from local_cloud.registry.manifests import References
from local_cloud.registry.names import is_digest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (
    repository TEXT, digest TEXT, PRIMARY KEY (repository, digest));
CREATE TABLE IF NOT EXISTS manifests (
    repository TEXT, digest TEXT, media_type TEXT NOT NULL,
    PRIMARY KEY (repository, digest));
CREATE TABLE IF NOT EXISTS tags (
    repository TEXT, tag TEXT, digest TEXT NOT NULL, PRIMARY KEY (repository, tag));
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""

_BY_DIGEST = """
SELECT digest, media_type FROM manifests WHERE repository = ? AND digest = ?"""
_BY_TAG = """
SELECT digest, media_type FROM tags JOIN manifests USING (repository, digest)
WHERE repository = ? AND tag = ?"""
_TAGS = """
SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?"""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A manifest that a repository holds."""

    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the topic `gcr` that nobody has confirmed yet."""

    id: int
    body: bytes


class Catalog:
    """Blobs, manifests and tags per repository, and the outbox of notices."""

    def __init__(self, path: Path, *, location_host: str) -> None:
        """Open or make the catalog.

        Args:
            path: The SQLite file.
            location_host: Host that notices name, "europe-west4-docker.pkg.dev".
        """
        self._location_host = location_host
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add_blob(self, repository: str, digest: str) -> None:
        """Let `repository` see content."""
        with self._change() as db:
            db.execute(
                "INSERT OR IGNORE INTO blobs VALUES (?, ?)", (repository, digest)
            )

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether `repository` may see content."""
        return bool(
            self._rows(
                "SELECT 1 FROM blobs WHERE repository = ? AND digest = ?",
                (repository, digest),
            )
        )

    def check_references(self, repository: str, references: References) -> None:
        """Refuse a manifest that leans on what the repository does not hold."""
        for digest in references.blobs:
            if not self.has_blob(repository, digest):
                raise _unknown_reference("blob", digest)
        for digest in references.manifests:
            if self.manifest(repository, digest) is None:
                raise _unknown_reference("manifest", digest)

    def put_manifest(
        self, repository: str, entry: ManifestEntry, *, tag: str | None
    ) -> None:
        """Enter a manifest, under a tag too if one is given, and announce it."""
        image = self._image(repository)
        with self._change() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO manifests VALUES (?, ?, ?)",
                (repository, entry.digest, entry.media_type),
            )
            if added.rowcount:
                _announce(db, notices.version_pushed(image, entry.digest))
            if tag is not None:
                db.execute(
                    "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
                    (repository, tag, entry.digest),
                )
                _announce(db, notices.tag_pushed(image, entry.digest, tag))

    def manifest(self, repository: str, reference: str) -> ManifestEntry | None:
        """Find a manifest by tag or digest."""
        query = _BY_DIGEST if is_digest(reference) else _BY_TAG
        rows = self._rows(query, (repository, reference))
        return ManifestEntry(*rows[0]) if rows else None

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Forget a tag and announce it. False when there was none."""
        with self._change() as db:
            removed = db.execute(
                "DELETE FROM tags WHERE repository = ? AND tag = ?", (repository, tag)
            )
            if removed.rowcount:
                _announce(db, notices.tag_deleted(self._image(repository), tag))
        return bool(removed.rowcount)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Forget a manifest and its tags. False when there was none."""
        image = self._image(repository)
        where = "WHERE repository = ? AND digest = ?"
        with self._change() as db:
            tags = db.execute(
                f"DELETE FROM tags {where} RETURNING tag",  # noqa: S608 - constants
                (repository, digest),
            ).fetchall()
            for (tag,) in tags:
                _announce(db, notices.tag_deleted(image, tag))
            removed = db.execute(
                f"DELETE FROM manifests {where}",  # noqa: S608 - constants
                (repository, digest),
            )
            if removed.rowcount:
                _announce(db, notices.version_deleted(image, digest))
        return bool(removed.rowcount)

    def tags(self, repository: str, *, after: str, limit: int) -> list[str]:
        """List the tags behind `after`, in order.

        Raises:
            RegistryError: The repository never held a manifest.
        """
        rows = self._rows(
            _TAGS,
            (repository, after, limit),
        )
        if not rows and not self._rows(
            "SELECT 1 FROM manifests WHERE repository = ? LIMIT 1", (repository,)
        ):
            raise RegistryError(
                Code.NAME_UNKNOWN, f"there is no repository {repository}"
            )
        return [tag for (tag,) in rows]

    def pending_notices(self, limit: int) -> list[Notice]:
        """Return the oldest notices that nobody has confirmed."""
        rows = self._rows("SELECT id, body FROM notices ORDER BY id LIMIT ?", (limit,))
        return [Notice(id=number, body=body) for number, body in rows]

    def forget_notices(self, confirmed: Sequence[Notice]) -> None:
        """Drop notices that Pub/Sub has taken."""
        with self._change() as db:
            db.executemany(
                "DELETE FROM notices WHERE id = ?", [(n.id,) for n in confirmed]
            )

    def _image(self, repository: str) -> str:
        return f"{self._location_host}/{repository}"

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _announce(db: sqlite3.Connection, body: bytes) -> None:
    db.execute("INSERT INTO notices (body) VALUES (?)", (body,))


def _unknown_reference(kind: str, digest: str) -> RegistryError:
    return RegistryError(
        Code.MANIFEST_BLOB_UNKNOWN,
        f"the manifest names the {kind} {digest}, which was not pushed here",
    )
