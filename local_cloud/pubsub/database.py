"""The file that everything is kept in: SQLite, write-ahead log, one process.

A publish and every change of a topic or subscription is on the disk before it
is answered. A lease or an acknowledgement may be lost in a power cut (never
with the process): what it leads to is one more delivery, which at-least-once
permits.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_TIMEOUT_S = 1.0
"""How long to wait for a process that is just ending."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL              -- google.pubsub.v1.Topic
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscriptions (
    name TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    body BLOB NOT NULL              -- google.pubsub.v1.Subscription
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS subscriptions_by_topic ON subscriptions (topic);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice
    published_at REAL NOT NULL,
    body BLOB NOT NULL              -- google.pubsub.v1.PubsubMessage
);
CREATE TABLE IF NOT EXISTS deliveries (
    subscription TEXT NOT NULL,
    message_id INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,     -- '' where the subscription does not order
    attempts INTEGER NOT NULL,      -- deliveries begun
    leased INTEGER NOT NULL,        -- 1 while a subscriber has it
    due_at REAL NOT NULL,           -- when the lease ends, or when it may be delivered
    PRIMARY KEY (subscription, message_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (subscription, leased, due_at);
CREATE INDEX IF NOT EXISTS deliveries_by_key
    ON deliveries (subscription, ordering_key, message_id);
CREATE INDEX IF NOT EXISTS deliveries_of_message ON deliveries (message_id);
"""


class Database:
    """One connection, used by one thread at a time.

    Attributes:
        changed: Notified after every transaction that changed a row.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            sqlite3.OperationalError: Another process holds it, or it cannot be written.
        """
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        # Transactions are begun by hand; the lock stands in for the thread check.
        self._connection = sqlite3.connect(
            path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold one transaction; on the disk when it ends, if `durable`."""
        with self._lock:
            self._connection.execute(
                f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}"
            )
            self._connection.execute("BEGIN IMMEDIATE")
            before = self._connection.total_changes
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            if self._connection.total_changes != before:
                self.changed.notify_all()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for a look."""
        with self._lock:
            yield self._connection

    def close(self) -> None:
        """Write the log into the file and let go of it."""
        with self._lock:
            self._connection.close()
