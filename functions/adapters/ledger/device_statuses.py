"""Show people where each device stands: enrolled or revoked, and what it said last."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from functions.adapters.ledger.tables import DEVICES, REPORTS, REVOCATIONS
from packhorse.report import DeviceState

_HOLDING = (DeviceState.SERVING, DeviceState.ROLLED_BACK)
"""Reports that say what a device answers with from now on."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Where a device stands, for people.

    Attributes:
        release: What its latest report is about.
        state: Of its latest report; empty before the first.
        serving: The release it last said to serve; empty once rolled back.
        reason: Of its latest report, or of its revocation.
        revoked_at: None for one that is not revoked, or enrolled again since.
    """

    device: str
    ring: int
    is_enrolled: bool
    serving: str
    release: str
    state: str
    reason: str
    at: datetime | None
    revoked_at: datetime | None

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "device": self.device,
            "ring": self.ring,
            "is_enrolled": self.is_enrolled,
            "is_revoked": self.revoked_at is not None,
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
            "serving": self.serving,
            "release": self.release,
            "state": self.state,
            "reason": self.reason,
            "heard_at": self.at.isoformat() if self.at else None,
        }


def statuses(
    connection: sa.Connection, *, limit: int, device: str | None = None
) -> list[DeviceStatus]:
    """Return where the devices stand, by ring and name.

    Args:
        connection: A transaction.
        limit: How many at most.
        device: Only this one, where it is named.
    """
    last, held = _latest("last", None), _latest("held", _HOLDING)
    gone = REVOCATIONS
    chosen = (
        sa.select(
            DEVICES,
            last.c.release,
            last.c.state,
            last.c.reason,
            sa.case((held.c.state == DeviceState.SERVING, held.c.release)).label("on"),
            gone.c.at.label("revoked_at"),
            gone.c.reason.label("why_revoked"),
        )
        .outerjoin(last, last.c.device == DEVICES.c.device)
        .outerjoin(held, held.c.device == DEVICES.c.device)
        .outerjoin(gone, gone.c.device == DEVICES.c.device)
        .order_by(DEVICES.c.ring, DEVICES.c.device)
        .limit(limit)
    )
    if device is not None:
        chosen = chosen.where(DEVICES.c.device == device)
    return [_status(row) for row in connection.execute(chosen)]


def _latest(name: str, states: Collection[DeviceState] | None) -> sa.Subquery:
    """Select each device's report of the highest sequence, its own order."""
    chosen = sa.select(REPORTS.c.device, sa.func.max(REPORTS.c.sequence).label("top"))
    if states is not None:
        chosen = chosen.where(REPORTS.c.state.in_(states))
    tops = chosen.group_by(REPORTS.c.device).subquery()
    return (
        sa.select(REPORTS)
        .join(
            tops,
            (tops.c.device == REPORTS.c.device) & (tops.c.top == REPORTS.c.sequence),
        )
        .subquery(name)
    )


def _status(row: sa.Row[*tuple[object, ...]]) -> DeviceStatus:
    is_enrolled = row.enrolled_at is not None
    is_revoked = row.revoked_at is not None and not is_enrolled
    return DeviceStatus(
        device=row.device,
        ring=row.ring,
        is_enrolled=is_enrolled,
        serving=row.on or "",
        release=row.release or "",
        state=row.state or "",
        reason=(row.why_revoked if is_revoked else row.reason) or "",
        at=row.heard_at,
        revoked_at=row.revoked_at if is_revoked else None,
    )
