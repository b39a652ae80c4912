"""Keep the devices, what they reported, and count each once.

A device counts in a gate when it is enrolled. In one rollout its latest state
counts, except that a failure stays: who failed at a release and then served it
has still failed at it.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from functions import topics
from functions.adapters.ledger import revocations
from functions.adapters.ledger.database import (
    add_change,
    add_event,
    add_refusal,
    insert_once,
)
from functions.adapters.ledger.tables import DEPLOYMENTS, DEVICES, REPORTS
from functions.release.gate import RingCounts
from functions.release.records import Change
from packhorse.assignment import device_position
from packhorse.report import FAILURES, DeviceState, Report

_ADVANCING = FAILURES | {DeviceState.SERVING}
"""Reports after which a gate may open or a rollout end."""


def invite(
    connection: sa.Connection, device: str, *, ring: int, by: str, at: datetime
) -> None:
    """Note that an operator let a device enrol; its ring may change by that."""
    is_new = insert_once(connection, DEVICES, device=device, ring=ring)
    if not is_new:
        _set(connection, device, ring=ring)
    change = Change(at, f"invited into ring {ring}", by=by)
    add_change(connection, f"device:{device}", change)


def enrolled(
    connection: sa.Connection, device: str, *, ring: int, at: datetime
) -> bool:
    """Note that a device has its key registered, and is in this ring.

    News from before its revocation says nothing.
    """
    if revocations.was_revoked(connection, device, since=at):
        return False
    insert_once(connection, DEVICES, device=device, ring=ring)
    is_new = connection.execute(
        sa.update(DEVICES)
        .where(DEVICES.c.device == device, DEVICES.c.enrolled_at.is_(None))
        .values(enrolled_at=at, ring=ring)
    ).rowcount
    if is_new:
        change = Change(at, f"enrolled in ring {ring}")
        add_change(connection, f"device:{device}", change)
    return bool(is_new)


def _set(connection: sa.Connection, device: str, **values: object) -> None:
    statement = sa.update(DEVICES).where(DEVICES.c.device == device)
    connection.execute(statement.values(**values))


def record_report(
    connection: sa.Connection, report: Report, *, digest: str, at: datetime
) -> bool | None:
    """Take a report in.

    Returns:
        True when it is new, False when it is known, None when another report of
        the device had this sequence; that is recorded.
    """
    is_new = insert_once(
        connection,
        REPORTS,
        device=report.device,
        sequence=report.sequence,
        digest=digest,
        release=_name(report),
        rollout_id=report.rollout_id,
        state=report.state,
        reason=report.reason,
        measures=dict(report.measures),
        device_at=report.at,
        at=at,
    )
    if not is_new:
        return _is_same(connection, report, digest, at)
    _set(connection, report.device, heard_at=at)
    if report.release is not None:
        _count(connection, report, at)
    return True


def _is_same(
    connection: sa.Connection, report: Report, digest: str, at: datetime
) -> bool | None:
    known = connection.execute(
        sa.select(REPORTS.c.digest).where(
            REPORTS.c.device == report.device, REPORTS.c.sequence == report.sequence
        )
    ).scalar_one()
    if known == digest:
        return False
    add_refusal(
        connection,
        "report",
        f"device:{report.device}",
        reason=f"report {report.sequence} came with two contents",
        at=at,
    )
    return None


def _count(connection: sa.Connection, report: Report, at: datetime) -> None:
    _keep_latest(connection, report, at)
    release = report.release
    if release is None or report.state not in _ADVANCING:
        return
    what = f"{report.state} on {report.device}"
    add_change(connection, release, Change(at, what, report.reason))
    add_event(connection, topics.ADVANCE, {"model": release.model}, at=at)


def _keep_latest(connection: sa.Connection, report: Report, at: datetime) -> None:
    has_failed = report.state in FAILURES
    is_first = insert_once(
        connection,
        DEPLOYMENTS,
        device=report.device,
        rollout_id=report.rollout_id,
        release=_name(report),
        sequence=report.sequence,
        state=report.state,
        has_failed=has_failed,
        reason=report.reason if has_failed else "",
        at=at,
    )
    if is_first:
        return
    here = (
        DEPLOYMENTS.c.device == report.device,
        DEPLOYMENTS.c.rollout_id == report.rollout_id,
    )
    if has_failed:
        connection.execute(
            sa.update(DEPLOYMENTS)
            .where(*here, DEPLOYMENTS.c.has_failed.is_(False))
            .values(has_failed=True, reason=report.reason)
        )
    # Reports may overtake one another; the device's own order counts.
    connection.execute(
        sa.update(DEPLOYMENTS)
        .where(*here, DEPLOYMENTS.c.sequence < report.sequence)
        .values(
            release=_name(report), sequence=report.sequence, state=report.state, at=at
        )
    )


def _name(report: Report) -> str:
    return str(report.release) if report.release else ""


def ring_counts(
    connection: sa.Connection,
    rollout_id: str,
    *,
    ring: int,
    share: int,
    enrolled_before: datetime | None = None,
) -> RingCounts:
    """Count what the admitted devices of a ring reported in a rollout."""
    admitted = [
        device
        for device in devices_in_ring(connection, ring, enrolled_before)
        if device_position(rollout_id, device) < share
    ]
    found = {row.device: row for row in _deployments(connection, rollout_id, ring)}
    rows = [found[device] for device in admitted if device in found]
    failed = [row for row in rows if row.has_failed]
    serving = [
        row for row in rows if not row.has_failed and row.state == DeviceState.SERVING
    ]
    reason = failed[0].reason if failed else ""
    return RingCounts(len(admitted), len(serving), len(failed), reason)


def _deployments(
    connection: sa.Connection, rollout_id: str, ring: int
) -> Sequence[sa.Row[str, str, bool, str]]:
    return connection.execute(
        sa.select(
            DEPLOYMENTS.c.device,
            DEPLOYMENTS.c.state,
            DEPLOYMENTS.c.has_failed,
            DEPLOYMENTS.c.reason,
        )
        .join(DEVICES, DEVICES.c.device == DEPLOYMENTS.c.device)
        .where(DEPLOYMENTS.c.rollout_id == rollout_id, DEVICES.c.ring == ring)
        .order_by(DEPLOYMENTS.c.at, DEPLOYMENTS.c.device)
    ).all()


def devices_in_ring(
    connection: sa.Connection, ring: int, enrolled_before: datetime | None = None
) -> list[str]:
    """Name the enrolled devices of a ring, in order; all, or those of before."""
    chosen = sa.select(DEVICES.c.device).where(
        DEVICES.c.ring == ring, DEVICES.c.enrolled_at.is_not(None)
    )
    if enrolled_before is not None:
        chosen = chosen.where(DEVICES.c.enrolled_at < enrolled_before)
    return list(connection.execute(chosen.order_by(DEVICES.c.device)).scalars())


def rings(connection: sa.Connection) -> list[int]:
    """Name the rings that have enrolled devices, in order."""
    rows = connection.execute(
        sa.select(DEVICES.c.ring)
        .where(DEVICES.c.enrolled_at.is_not(None))
        .distinct()
        .order_by(DEVICES.c.ring)
    )
    return list(rows.scalars())


def fleet_size(connection: sa.Connection) -> int:
    """Count the enrolled devices."""
    count = sa.select(sa.func.count()).select_from(DEVICES)
    return connection.execute(
        count.where(DEVICES.c.enrolled_at.is_not(None))
    ).scalar_one()
