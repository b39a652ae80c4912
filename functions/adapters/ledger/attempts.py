"""Keep which operation each step of the workflow began last, and how many failed."""

import sqlalchemy as sa

from functions.adapters.ledger.database import insert_once
from functions.adapters.ledger.releases import is_release, key_of
from functions.adapters.ledger.tables import ATTEMPTS
from packhorse.names import Release


def begun(
    connection: sa.Connection, release: Release, step: str, operation: str
) -> None:
    """Note the operation that a step has just begun."""
    row = {**key_of(release), "step": step, "operation": operation, "failures": 0}
    if not insert_once(connection, ATTEMPTS, **row):
        _set(connection, release, step, operation=operation)


def operation(connection: sa.Connection, release: Release, step: str) -> str:
    """Return the operation whose end is not known yet, or ""."""
    statement = sa.select(ATTEMPTS.c.operation).where(*_is(release, step))
    return str(connection.execute(statement).scalar() or "")


def failed(connection: sa.Connection, release: Release, step: str, name: str) -> int:
    """Count the failure of the operation `name`, once; return how many failed."""
    here = (*_is(release, step), ATTEMPTS.c.operation == name)
    failures = ATTEMPTS.c.failures + 1
    connection.execute(
        sa.update(ATTEMPTS).where(*here).values(operation="", failures=failures)
    )
    statement = sa.select(ATTEMPTS.c.failures).where(*_is(release, step))
    return int(connection.execute(statement).scalar() or 0)


def _set(
    connection: sa.Connection, release: Release, step: str, **values: object
) -> None:
    statement = sa.update(ATTEMPTS).where(*_is(release, step))
    connection.execute(statement.values(**values))


def _is(release: Release, step: str) -> tuple[sa.ColumnElement[bool], ...]:
    return *is_release(ATTEMPTS, release), ATTEMPTS.c.step == step
