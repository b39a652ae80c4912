"""Read the whole ledger at a glance, for `operate`; and keep the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from functions.adapters.ledger import device_statuses, devices, shadows
from functions.adapters.ledger.tables import OUTBOX, REFUSALS, RELEASES, ROLLOUTS

RELEASES_MAX = 50
REFUSALS_MAX = 20
DEVICES_MAX = 200
SHADOWS_MAX = 20


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that was committed and not yet known to be published."""

    id: int
    topic: str
    body: bytes


def pending_events(
    connection: sa.Connection, limit: int, after_id: int
) -> list[PendingEvent]:
    """Return the oldest events of the outbox whose id is above `after_id`."""
    rows = connection.execute(
        sa.select(OUTBOX.c.id, OUTBOX.c.topic, OUTBOX.c.body)
        .where(OUTBOX.c.id > after_id)
        .order_by(OUTBOX.c.id)
        .limit(limit)
    )
    return [PendingEvent(row.id, row.topic, bytes(row.body)) for row in rows]


def mark_sent(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Forget events that Pub/Sub has taken."""
    connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.id.in_(list(ids))))


def snapshot(connection: sa.Connection) -> dict[str, object]:
    """Return what a person wants to see first, as JSON values."""
    waiting = sa.select(sa.func.count()).select_from(OUTBOX)
    return {
        "releases": _releases(connection),
        "rollouts": _rollouts(connection),
        "devices": _devices(connection),
        "shadows": shadows.newest(connection, limit=SHADOWS_MAX),
        "refusals": _refusals(connection),
        "fleet_size": devices.fleet_size(connection),
        "pending_events": connection.execute(waiting).scalar_one(),
    }


def _releases(connection: sa.Connection) -> list[dict[str, object]]:
    rows = connection.execute(
        sa.select(RELEASES)
        .order_by(RELEASES.c.changed_at.desc(), RELEASES.c.model, RELEASES.c.version)
        .limit(RELEASES_MAX)
    )
    return [
        {
            "release": f"{row.model}@{row.version}",
            "state": row.state,
            "reason": row.reason,
            "digest": row.digest,
            "changed_at": row.changed_at.isoformat(),
        }
        for row in rows
    ]


def _rollouts(connection: sa.Connection) -> list[object]:
    rows = connection.execute(sa.select(ROLLOUTS.c.record).order_by(ROLLOUTS.c.model))
    return list(rows.scalars())


def _devices(connection: sa.Connection) -> list[dict[str, object]]:
    found = device_statuses.statuses(connection, limit=DEVICES_MAX)
    return [status.to_json() for status in found]


def _refusals(connection: sa.Connection) -> list[dict[str, object]]:
    rows = connection.execute(
        sa.select(REFUSALS).order_by(REFUSALS.c.at.desc()).limit(REFUSALS_MAX)
    )
    return [
        {
            "kind": row.kind,
            "subject": row.subject,
            "reason": row.reason,
            "at": row.at.isoformat(),
        }
        for row in rows
    ]
