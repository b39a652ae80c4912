"""Find the releases that stand still, and ask for their next step again."""

from datetime import datetime

import sqlalchemy as sa

from functions import topics
from functions.adapters.ledger.database import add_event
from functions.adapters.ledger.releases import (
    ask_for_variants,
    change,
    get,
    read,
)
from functions.adapters.ledger.tables import RELEASES
from functions.release.records import ReleaseRecord, ReleaseState
from packhorse.names import Release


def ask_again(
    connection: sa.Connection, *, before: datetime, at: datetime
) -> list[Release]:
    """Repeat the events of releases that have stood still since `before`.

    Their messages may lie among the dead letters. Every stage can be repeated,
    so asking once too often does no harm.
    """
    waiting = {ReleaseState.REGISTERED, ReleaseState.PACKAGED}
    rows = connection.execute(
        sa.select(RELEASES.c.model, RELEASES.c.version)
        .where(RELEASES.c.state.in_(waiting), RELEASES.c.changed_at < before)
        .with_for_update()
    )
    releases = [Release(model, version) for model, version in rows]
    for release in releases:
        record = get(connection, release)
        missing = [name for name, bundle in record.variants.items() if bundle is None]
        ask_for_variants(connection, release, missing, at)
        if not missing:
            add_event(connection, topics.PACKAGED, {"release": str(release)}, at=at)
        change(connection, release, changed_at=at)
    return releases


def stuck(connection: sa.Connection, *, before: datetime) -> list[ReleaseRecord]:
    """Return the releases that a workflow should have brought further since."""
    with_workflow = {ReleaseState.PUBLISHED, ReleaseState.DEPLOYED}
    rows = connection.execute(
        sa.select(RELEASES.c.model, RELEASES.c.version)
        .where(RELEASES.c.state.in_(with_workflow), RELEASES.c.is_opened.is_(False))
        .where(RELEASES.c.changed_at < before)
        .order_by(RELEASES.c.changed_at)
    ).all()
    found = [read(connection, Release(model, version)) for model, version in rows]
    return [record for record in found if record is not None]
