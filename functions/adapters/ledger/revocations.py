"""Keep which devices were revoked: such a device is no longer an enrolled one.

So no gate counts it, no ring holds it, and the fleet is smaller by it.
"""

from datetime import datetime

import sqlalchemy as sa

from functions import topics
from functions.adapters.ledger.database import add_change, add_event, insert_once
from functions.adapters.ledger.tables import DEVICES, REVOCATIONS
from functions.release.device_record import Revocation
from functions.release.records import Change


def revoke(
    connection: sa.Connection, device: str, *, ring: int, revocation: Revocation
) -> bool:
    """Note a revocation; say whether it is news.

    Every rollout is looked at again: one may have waited for this device.
    """
    if was_revoked(connection, device, since=revocation.at):
        return False
    insert_once(connection, DEVICES, device=device, ring=ring)
    connection.execute(
        sa.update(DEVICES).where(DEVICES.c.device == device).values(enrolled_at=None)
    )
    connection.execute(sa.delete(REVOCATIONS).where(REVOCATIONS.c.device == device))
    at, by, reason = revocation.at, revocation.by, revocation.reason
    connection.execute(
        sa.insert(REVOCATIONS).values(device=device, at=at, by=by, reason=reason)
    )
    add_change(connection, f"device:{device}", Change(at, "revoked", reason, by=by))
    add_event(connection, topics.ADVANCE, {}, at=at)
    return True


def was_revoked(connection: sa.Connection, device: str, *, since: datetime) -> bool:
    """Say whether a device was revoked at that moment or later."""
    at: datetime | None = connection.execute(
        sa.select(REVOCATIONS.c.at).where(REVOCATIONS.c.device == device)
    ).scalar_one_or_none()
    return at is not None and at >= since
