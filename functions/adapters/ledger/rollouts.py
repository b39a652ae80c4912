"""Keep each model's rollout record, and change it only if unchanged since read."""

from datetime import datetime

import sqlalchemy as sa

from functions import topics
from functions.adapters.ledger import devices, releases
from functions.adapters.ledger.database import add_change, add_event, insert_once
from functions.adapters.ledger.tables import ROLLOUTS
from functions.errors import ConflictError
from functions.release.records import Change, ReleaseState
from functions.release.rollout import RolloutRecord, RolloutState, begin
from functions.release.rollout_json import decode_record, encode_record
from packhorse.names import Release


def open_rollout(connection: sa.Connection, release: Release, *, at: datetime) -> bool:
    """Make the record that starts to roll a deployed release out.

    Returns:
        Whether this call made it: False when the release had its turn.
    """
    record = releases.get(connection, release)
    if record.state is not ReleaseState.DEPLOYED:
        raise ConflictError(f"{release} is {record.state}, not deployed")
    releases.change(connection, release, is_opened=True)
    previous = read(connection, release.model, is_locked=True)
    fresh = begin(previous, record.offer(), at=at)
    if fresh is None:
        return False
    if previous is None:
        _insert(connection, fresh, at=at)
    else:
        _replace(connection, previous, fresh, at=at)
    add_change(connection, release, Change(at, "rollout waiting"))
    add_event(connection, topics.ADVANCE, {"model": release.model}, at=at)
    return True


def _insert(connection: sa.Connection, record: RolloutRecord, *, at: datetime) -> None:
    is_new = insert_once(
        connection,
        ROLLOUTS,
        model=record.model,
        sequence=record.sequence,
        is_active=_is_active(record),
        record=encode_record(record),
        untold_rings=devices.rings(connection),
        changed_at=at,
    )
    if not is_new:
        raise ConflictError(f"another rollout of {record.model} began just now")


def read(
    connection: sa.Connection, model: str, *, is_locked: bool = False
) -> RolloutRecord | None:
    """Return a model's rollout record, or None."""
    statement = sa.select(ROLLOUTS.c.record).where(ROLLOUTS.c.model == model)
    if is_locked:
        statement = statement.with_for_update()
    value = connection.execute(statement).scalar()
    return None if value is None else decode_record(value)


def active_models(connection: sa.Connection) -> list[str]:
    """Name the models whose rollout may still have something to do."""
    rows = connection.execute(
        sa.select(ROLLOUTS.c.model)
        .where(ROLLOUTS.c.is_active)
        .order_by(ROLLOUTS.c.model)
    )
    return list(rows.scalars())


def save(
    connection: sa.Connection,
    record: RolloutRecord,
    *,
    expected_sequence: int,
    at: datetime,
    by: str = "",
) -> None:
    """Replace the record if it still has the sequence it was read with.

    Raises:
        ConflictError: It has not.
    """
    before = read(connection, record.model, is_locked=True)
    came = before.sequence if before else 0
    if before is None or came != expected_sequence:
        raise ConflictError(
            f"the rollout of {record.model} is at sequence {came}, not "
            f"{expected_sequence}; read it again"
        )
    _replace(connection, before, record, at=at)
    if record.sequence != before.sequence:
        _add_changes(connection, before, record, at=at, by=by)
    if by:
        # What a person changed is carried out at once, not at the next tick.
        add_event(connection, topics.ADVANCE, {"model": record.model}, at=at)


def _replace(
    connection: sa.Connection,
    before: RolloutRecord,
    record: RolloutRecord,
    *,
    at: datetime,
) -> None:
    is_here = ROLLOUTS.c.model == record.model
    stored = connection.execute(sa.select(ROLLOUTS.c.untold_rings).where(is_here))
    untold = set(stored.scalar_one()) | _concerned(connection, before, record)
    if record.is_published and not before.is_published:
        # Only now is there something new to read.
        body = {
            "model": record.model,
            "sequence": record.sequence,
            "rings": sorted(untold),
        }
        add_event(connection, topics.ROLLOUTS, body, at=at)
        untold = set()
    connection.execute(
        sa.update(ROLLOUTS)
        .where(is_here)
        .values(
            sequence=record.sequence,
            is_active=_is_active(record),
            record=encode_record(record),
            untold_rings=sorted(untold),
            changed_at=at,
        )
    )


def _concerned(
    connection: sa.Connection, before: RolloutRecord, record: RolloutRecord
) -> set[int]:
    """Name the rings that a change may give another release."""
    if record.sequence == before.sequence:
        return set()
    is_for_all = (
        record.stable != before.stable
        or record.withdrawn != before.withdrawn
        or record.candidate != before.candidate
        or RolloutState.HALTED in (record.state, before.state)
    )
    return set(devices.rings(connection)) if is_for_all else set(record.shares)


def _add_changes(
    connection: sa.Connection,
    before: RolloutRecord,
    record: RolloutRecord,
    *,
    at: datetime,
    by: str,
) -> None:
    """Write the change into the history of the model and of each release in it."""
    shares = ", ".join(
        f"ring {ring}: {share / 100:g} %" for ring, share in record.shares.items()
    )
    what = f"rollout {record.state} ({shares})" if shares else f"rollout {record.state}"
    offers = (before.candidate, record.candidate)
    concerned = {offer.release for offer in offers if offer is not None}
    concerned |= set(record.withdrawn) - set(before.withdrawn)
    for subject in (record.model, *sorted(concerned)):
        add_change(connection, subject, Change(at, what, record.reason, by))
    if record.stable is not None and record.stable == before.former:
        change = Change(at, "stable again", by=by)
        add_change(connection, record.stable.release, change)


def _is_active(record: RolloutRecord) -> bool:
    return not record.is_over or not record.is_published
