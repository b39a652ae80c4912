"""Keep the sums of shadow runs, each message once, for as long as they matter."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from functions.adapters.ledger.database import insert_once
from functions.adapters.ledger.tables import SHADOW_MESSAGES, SHADOWS, Words
from functions.release.shadows import REASON_MAX, ShadowCounts, ShadowReport
from packhorse.names import Release

MESSAGES_KEPT = timedelta(days=32)
"""Longer than a report may be old that is counted."""

SUMS_KEPT = timedelta(days=90)
"""Longer than any rollout takes."""

_SUMS = ("agreed", "differed", "failed", "timed", "live_s", "shadow_s")


def record(connection: sa.Connection, report: ShadowReport, *, at: datetime) -> bool:
    """Add a report's sums; False where they are counted already."""
    if not insert_once(connection, SHADOW_MESSAGES, id=report.id, at=at):
        return False
    _forget_old(connection, at)
    key = {
        "model": report.candidate.model,
        "live": report.live.version,
        "candidate": report.candidate.version,
        "minute": report.since.replace(second=0, microsecond=0),
    }
    sums = {name: getattr(report.counts, name) for name in _SUMS}
    reason = report.counts.reason[:REASON_MAX]
    if not insert_once(connection, SHADOWS, **key, **sums, reason=reason):
        here = [SHADOWS.c[name] == value for name, value in key.items()]
        added = {name: SHADOWS.c[name] + value for name, value in sums.items()}
        words = sa.literal(reason, Words)
        first = sa.case((SHADOWS.c.reason == "", words), else_=SHADOWS.c.reason)
        connection.execute(
            sa.update(SHADOWS).where(*here).values(**added, reason=first)
        )
    return True


def counts(
    connection: sa.Connection,
    live: Release,
    candidate: Release,
    *,
    since: datetime | None = None,
) -> ShadowCounts:
    """Return the sums of two releases; all, or those of whole minutes since."""
    statement = _sums().where(
        SHADOWS.c.model == candidate.model,
        SHADOWS.c.live == live.version,
        SHADOWS.c.candidate == candidate.version,
    )
    if since is not None:
        statement = statement.where(SHADOWS.c.minute >= since)
    row = connection.execute(statement).first()
    return ShadowCounts() if row is None else _counts(row)


def newest(connection: sa.Connection, *, limit: int) -> list[dict[str, object]]:
    """Return the sums of the pairs that were compared last, as JSON values."""
    last = sa.func.max(SHADOWS.c.minute).label("last")
    rows = connection.execute(
        _sums().add_columns(last).order_by(last.desc()).limit(limit)
    )
    return [_to_json(row) for row in rows]


def _sums() -> sa.Select[*tuple[object, ...]]:
    pair = (SHADOWS.c.model, SHADOWS.c.live, SHADOWS.c.candidate)
    summed = [sa.func.sum(SHADOWS.c[name]).label(name) for name in _SUMS]
    # An empty reason sorts first.
    reason = sa.func.max(SHADOWS.c.reason).label("reason")
    return sa.select(*pair, *summed, reason).group_by(*pair)


def _counts(row: sa.Row[*tuple[object, ...]]) -> ShadowCounts:
    return ShadowCounts(
        agreed=int(row.agreed),
        differed=int(row.differed),
        failed=int(row.failed),
        timed=int(row.timed),
        live_s=float(row.live_s),
        shadow_s=float(row.shadow_s),
        reason=row.reason,
    )


def _to_json(row: sa.Row[*tuple[object, ...]]) -> dict[str, object]:
    found = _counts(row)
    return {
        "live": f"{row.model}@{row.live}",
        "candidate": f"{row.model}@{row.candidate}",
        "compared": found.compared,
        "agreement": found.agreement,
        "failed": found.failed,
        "latency_ratio": found.latency_ratio,
        "reason": found.reason,
        "last_at": row.last.isoformat(),
    }


def _forget_old(connection: sa.Connection, at: datetime) -> None:
    messages, sums = SHADOW_MESSAGES.c.at, SHADOWS.c.minute
    connection.execute(sa.delete(SHADOW_MESSAGES).where(messages < at - MESSAGES_KEPT))
    connection.execute(sa.delete(SHADOWS).where(sums < at - SUMS_KEPT))
