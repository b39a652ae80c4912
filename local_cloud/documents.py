"""Keep a stand-in's resources on disk.

Every resource is one JSON document under a kind and a name. A transaction is on
the disk when it ends: what Google acknowledged it does not lose, and neither does
this through a SIGKILL.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Document = dict[str, object]


def as_document(value: object) -> Document:
    """Return `value`, which this stand-in wrote as an object."""
    if not isinstance(value, dict):
        raise TypeError(f"expected an object in the store, {value!r} is there")
    return value


_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (
  name TEXT PRIMARY KEY, last INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Transaction:
    """Reads and writes that happen together or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work on `connection`, which is inside a transaction."""
        self._connection = connection

    def get(self, kind: str, name: str) -> Document | None:
        """Return the document, or None when there is none."""
        found = self._connection.execute(
            "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
        ).fetchone()
        return json.loads(found[0]) if found else None

    def put(self, kind: str, name: str, document: Document) -> None:
        """Write the document, whether or not it was there."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents (kind, name, body) VALUES (?, ?, ?)",
            (kind, name, json.dumps(document)),
        )

    def delete(self, kind: str, name: str) -> None:
        """Remove the document, if it is there."""
        self._connection.execute(
            "DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name)
        )

    def all(self, kind: str) -> list[Document]:
        """Return every document of a kind, by name."""
        rows = self._connection.execute(
            "SELECT body FROM documents WHERE kind = ? ORDER BY name", (kind,)
        )
        return [json.loads(row[0]) for row in rows]

    def next_number(self, name: str, *, first: int) -> int:
        """Return a number that was never returned before for `name`."""
        row = self._connection.execute(
            "INSERT INTO numbers (name, last) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
            (name, first),
        ).fetchone()
        return int(row[0])


class Store:
    """All documents, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write everything done inside at once, or nothing after an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read documents; writing here is a programmer's error."""
        with self._lock:
            yield Transaction(self._connection)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
