"""Open transactions on SQLite or PostgreSQL, and say nothing of which.

Differences that the code above never sees: SQLite has one writer at a time, so
a writing transaction takes the lock when it begins (a reader that turned writer
could only fail); PostgreSQL locks the rows that are read `FOR UPDATE`, which
SQLite ignores.

Source: https://www.sqlite.org/wal.html; SQLAlchemy 2.1, "Serializable isolation
/ Savepoints / Transactional DDL" for pysqlite
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from functions.adapters.ledger.tables import CHANGES, METADATA, OUTBOX, REFUSALS
from functions.errors import UpstreamUnavailableError
from functions.release.records import Change
from packhorse.strict_json import encode_json

POOL_SIZE = 2
"""Connections that one instance of a function holds; deploy.yaml counts on it."""

POOL_TIMEOUT_S = 10.0
"""How long a request waits for one of them."""

BUSY_TIMEOUT_MS = 15_000
"""How long a writer waits for the one before it; a transaction takes milliseconds."""

_CONNECT_TIMEOUT_S = 5
_SCHEMA_LOCK = 0x7061636B
_SUBJECT_MAX = 500
_REASON_MAX = 1000

_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
    # Raised while a connection is prepared, where SQLAlchemy does not wrap it.
    sqlite3.OperationalError,
)


class Database:
    """A pool of connections, and the schema, made when first needed."""

    def __init__(self, url: str) -> None:
        """Prepare the pool for a SQLAlchemy URL; connects at the first use."""
        self._engine = _make_engine(sa.make_url(url))
        self._lock = threading.Lock()
        self._has_schema = False

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Run one transaction that may change something.

        Raises:
            UpstreamUnavailableError: The database is away; nothing was changed.
        """
        self._ensure_schema()
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Run one transaction that changes nothing, and waits for no writer.

        Raises:
            UpstreamUnavailableError: The database is away.
        """
        self._ensure_schema()
        reading = self._engine.execution_options(is_reading=True)
        with _translated(), reading.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    def _ensure_schema(self) -> None:
        with self._lock, _translated():
            if self._has_schema:
                return
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # Two first users would both find the tables missing.
                    lock = sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)
                    connection.execute(sa.select(lock))
                METADATA.create_all(connection)
            self._has_schema = True


def _make_engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=POOL_TIMEOUT_S
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": f"-c statement_timeout={BUSY_TIMEOUT_MS}",
        },
    )


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    del record
    # Python's own idea of when a transaction begins comes too late: see _begin_sqlite.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # An event is acknowledged once it is committed, so commits survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise UpstreamUnavailableError("the ledger gave no answer in time") from error


def insert_once(connection: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert a row unless one with its key is there; say whether it was new."""
    is_sqlite = connection.dialect.name == "sqlite"
    insert = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(table).values(**values).on_conflict_do_nothing()
    # A count of rows is not always known; a row that comes back is.
    returned = connection.execute(statement.returning(*table.primary_key))
    return returned.first() is not None


def add_change(connection: sa.Connection, subject: object, change: Change) -> None:
    """Write a line into the history of `subject`."""
    row = {"subject": str(subject), **asdict(change)}
    connection.execute(sa.insert(CHANGES).values(row))


def add_event(
    connection: sa.Connection, topic: str, body: Mapping[str, object], *, at: datetime
) -> None:
    """Put an event into the outbox; it leaves after the commit.

    An equal one that still waits there does not do instead: it may be on its
    way already, to a reader who cannot see this transaction yet.
    """
    row = {"topic": topic, "body": encode_json(body), "at": at}
    connection.execute(sa.insert(OUTBOX).values(row))


def add_refusal(
    connection: sa.Connection, kind: str, subject: str, *, reason: str, at: datetime
) -> None:
    """Record once that something was refused, and why."""
    insert_once(
        connection,
        REFUSALS,
        kind=kind,
        subject=subject[:_SUBJECT_MAX],
        reason=reason[:_REASON_MAX],
        at=at,
    )
