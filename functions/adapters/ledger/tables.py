"""Lay out the ledger's tables: the same for SQLite and PostgreSQL.

Thin: the schema is made at first use. A later change needs a migration.
"""

from datetime import UTC, datetime

import sqlalchemy as sa

METADATA = sa.MetaData()

_KEY = 200
"""Characters; the longest key is a rollout's id of 100."""

_EMAIL = 320
"""Characters; the longest address there is."""


class Instant(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: sa.Dialect
    ) -> datetime | None:
        """Store UTC."""
        del dialect
        return value.astimezone(UTC) if value else None

    def process_result_value(
        self, value: datetime | None, dialect: sa.Dialect
    ) -> datetime | None:
        """Return UTC."""
        del dialect
        if value is None:
            return None
        has_zone = value.tzinfo is not None
        return value.astimezone(UTC) if has_zone else value.replace(tzinfo=UTC)


class Words(sa.types.TypeDecorator[str]):
    """Text from outside: what no database can keep becomes a question mark."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Drop what is no Unicode text, and NUL, which PostgreSQL refuses."""
        del dialect
        if value is None:
            return None
        return value.encode("utf-8", "replace").decode().replace("\0", "?")


def _release_key() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["model", "version"], ["releases.model", "releases.version"]
    )


# Rows in order of arrival. SQLite counts up only in a column of this very type.
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("model", sa.String(_KEY), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(_KEY), nullable=False),
    sa.Column("state", sa.String(_KEY), nullable=False),
    sa.Column("reason", Words, nullable=False, default=""),
    sa.Column("card", sa.JSON, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False, default=""),
    sa.Column("execution", sa.Text, nullable=False, default=""),
    # Its rollout was begun, or a later release had its turn: the workflow is done.
    sa.Column("is_opened", sa.Boolean, nullable=False, default=False),
    sa.Column("changed_at", Instant, nullable=False),
)

VARIANTS = sa.Table(
    "variants",
    METADATA,
    sa.Column("model", sa.String(_KEY), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.String(_KEY), primary_key=True),
    sa.Column("bundle", sa.JSON(none_as_null=True)),
    _release_key(),
)

DEPLOYED_IDS = sa.Table(
    "deployed_ids",
    METADATA,
    sa.Column("id", _SERIAL, primary_key=True),
    sa.Column("model", sa.String(_KEY), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("endpoint", sa.String(_KEY), nullable=False),
    sa.UniqueConstraint("model", "version", "endpoint"),
    _release_key(),
    # Vertex AI may still know an id whose row is gone: never give it again.
    sqlite_autoincrement=True,
)

# Long-running operations of Vertex AI that a step of the workflow began.
ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("model", sa.String(_KEY), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.String(_KEY), primary_key=True),
    # The latest one; empty once its failure was counted.
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    _release_key(),
)

ROLLOUTS = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("model", sa.String(_KEY), primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    # Rings whose devices must hear of the next document that is published.
    sa.Column("untold_rings", sa.JSON, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

DEVICES = sa.Table(
    "devices",
    METADATA,
    sa.Column("device", sa.String(_KEY), primary_key=True),
    sa.Column("ring", sa.Integer, nullable=False),
    # NULL: invited or revoked, not enrolled; such a device counts in no gate.
    sa.Column("enrolled_at", Instant),
    sa.Column("heard_at", Instant),
)

# The latest of each device; one that has enrolled since is enrolled in DEVICES.
REVOCATIONS = sa.Table(
    "revocations",
    METADATA,
    sa.Column("device", sa.String(_KEY), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("by", sa.String(_EMAIL), nullable=False),
    sa.Column("reason", Words, nullable=False),
)

DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    sa.Column("device", sa.String(_KEY), primary_key=True),
    sa.Column("rollout_id", sa.String(_KEY), primary_key=True),
    sa.Column("release", sa.String(_KEY), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(_KEY), nullable=False),
    # The first failure's; a device that failed once counts as failed.
    sa.Column("has_failed", sa.Boolean, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

REPORTS = sa.Table(
    "reports",
    METADATA,
    sa.Column("device", sa.String(_KEY), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(_KEY), nullable=False),
    sa.Column("release", sa.String(_KEY), nullable=False),
    sa.Column("rollout_id", sa.String(_KEY), nullable=False),
    sa.Column("state", sa.String(_KEY), nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("measures", sa.JSON, nullable=False),
    sa.Column("device_at", Instant, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

# What shadow runs found, by the minute in which a process began to count.
SHADOWS = sa.Table(
    "shadows",
    METADATA,
    sa.Column("model", sa.String(_KEY), primary_key=True),
    sa.Column("live", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("candidate", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("minute", Instant, primary_key=True),
    sa.Column("agreed", sa.BigInteger, nullable=False),
    sa.Column("differed", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("timed", sa.BigInteger, nullable=False),
    sa.Column("live_s", sa.Float, nullable=False),
    sa.Column("shadow_s", sa.Float, nullable=False),
    # In what one of them differed; empty while none did.
    sa.Column("reason", Words, nullable=False),
)

# The messages that are counted there, for as long as Pub/Sub may send one again.
SHADOW_MESSAGES = sa.Table(
    "shadow_messages",
    METADATA,
    sa.Column("id", sa.String(_KEY), primary_key=True),
    sa.Column("at", Instant, nullable=False, index=True),
)

REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("kind", sa.String(_KEY), primary_key=True),
    sa.Column("subject", Words(), primary_key=True),
    sa.Column("reason", Words(), primary_key=True),
    sa.Column("at", Instant, nullable=False),
)

CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("id", _SERIAL, primary_key=True),
    sa.Column("subject", Words, nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("what", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("by", sa.String(_KEY), nullable=False),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("id", _SERIAL, primary_key=True),
    sa.Column("topic", sa.String(_KEY), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("at", Instant, nullable=False),
    # A deleted row's id must not come back, or mark_sent could hit a new event.
    sqlite_autoincrement=True,
)
