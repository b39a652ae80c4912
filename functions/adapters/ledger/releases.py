"""Keep the releases: what was pushed, and how far each has come.

Each function works inside the caller's transaction. A release is read with its
row locked before it is changed, so two steps of one release never interleave.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from functions import topics
from functions.adapters.ledger.database import (
    add_change,
    add_event,
    add_refusal,
    insert_once,
)
from functions.adapters.ledger.tables import (
    CHANGES,
    DEPLOYED_IDS,
    RELEASES,
    VARIANTS,
)
from functions.errors import ConflictError, NotFoundError, ReleaseRefusedError
from functions.release.records import (
    Change,
    NewRelease,
    ReleaseRecord,
    ReleaseState,
)
from packhorse.assignment import BundleRef, decode_bundle_ref, encode_bundle_ref
from packhorse.names import Release

ENDPOINTS = ("candidate", "serving")

HISTORY_MAX = 200
"""Lines of history that one answer holds, the newest."""


def register(connection: sa.Connection, new: NewRelease, *, at: datetime) -> str:
    """Write a new release and ask for its variants.

    Returns:
        "new", "known", or the digest under which the version is known already.
    """
    is_new = insert_once(
        connection,
        RELEASES,
        **key_of(new.release),
        digest=new.digest,
        state=ReleaseState.REGISTERED,
        card=dict(new.card),
        changed_at=at,
    )
    if not is_new:
        return _known(connection, new.release, new.digest, at)
    for variant in new.variants:
        row = {**key_of(new.release), "variant": variant, "bundle": None}
        connection.execute(sa.insert(VARIANTS).values(row))
    ask_for_variants(connection, new.release, new.variants, at)
    add_change(connection, new.release, Change(at, ReleaseState.REGISTERED))
    return "new"


def _known(
    connection: sa.Connection, release: Release, digest: str, at: datetime
) -> str:
    known = _locked(connection, release).digest
    if known == digest:
        return "known"
    add_refusal(connection, "push", str(release), reason=other_digest(known), at=at)
    return str(known)


def other_digest(known: str) -> str:
    """Say what is wrong with pushing a version a second time."""
    return (
        f"this version exists with the digest {known}; a release never changes, so "
        f"push the model under the next version"
    )


def ask_for_variants(
    connection: sa.Connection,
    release: Release,
    variants: Sequence[str],
    at: datetime,
) -> None:
    """Put one `package` event per variant into the outbox."""
    for variant in variants:
        body = {"release": str(release), "variant": variant}
        add_event(connection, topics.PACKAGE, body, at=at)


def read(connection: sa.Connection, release: Release) -> ReleaseRecord | None:
    """Return what is known of a release, or None."""
    row = connection.execute(
        sa.select(RELEASES).where(*is_release(RELEASES, release))
    ).first()
    return None if row is None else _record(connection, release, row)


def get(connection: sa.Connection, release: Release) -> ReleaseRecord:
    """Return a release with its row locked.

    Raises:
        NotFoundError: There is none such.
    """
    return _record(connection, release, _locked(connection, release))


def _locked(connection: sa.Connection, release: Release) -> sa.Row[tuple[object, ...]]:
    statement = (
        sa.select(RELEASES).where(*is_release(RELEASES, release)).with_for_update()
    )
    row = connection.execute(statement).first()
    if row is None:
        raise NotFoundError(f"no release {release} was ever registered")
    return row


def _record(
    connection: sa.Connection, release: Release, row: sa.Row[tuple[object, ...]]
) -> ReleaseRecord:
    fields = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    bundles = connection.execute(
        sa.select(VARIANTS.c.variant, VARIANTS.c.bundle).where(
            *is_release(VARIANTS, release)
        )
    )
    ids = connection.execute(
        sa.select(DEPLOYED_IDS.c.endpoint, DEPLOYED_IDS.c.id).where(
            *is_release(DEPLOYED_IDS, release)
        )
    )
    return ReleaseRecord(
        release=release,
        digest=fields["digest"],
        state=ReleaseState(fields["state"]),
        reason=fields["reason"],
        card=fields["card"],
        variants={
            name: decode_bundle_ref(bundle) if bundle else None
            for name, bundle in bundles
        },
        model_version=fields["model_version"],
        deployed_ids={endpoint: str(number) for endpoint, number in ids},
        execution=fields["execution"],
        is_opened=fields["is_opened"],
    )


def variant_packaged(
    connection: sa.Connection,
    release: Release,
    variant: str,
    bundle: BundleRef,
    at: datetime,
) -> None:
    """Note a variant's bundle; with the last one the release is packaged."""
    record = get(connection, release)
    if variant not in record.variants:
        raise NotFoundError(f"{release} was not registered with a variant {variant}")
    known = record.variants[variant]
    if known is not None:
        if known != bundle:
            raise ConflictError(f"{release} has another bundle for {variant} already")
        return
    connection.execute(
        sa.update(VARIANTS)
        .where(*is_release(VARIANTS, release), VARIANTS.c.variant == variant)
        .values(bundle=encode_bundle_ref(bundle))
    )
    add_change(connection, release, Change(at, f"{variant} packaged"))
    others = {name: ref for name, ref in record.variants.items() if name != variant}
    if record.state is ReleaseState.REGISTERED and all(others.values()):
        _become(connection, release, ReleaseState.PACKAGED, at=at)
        add_event(connection, topics.PACKAGED, {"release": str(release)}, at=at)


def refuse(
    connection: sa.Connection, release: Release, *, reason: str, at: datetime
) -> None:
    """Stop a release for ever; the first reason stays."""
    record = get(connection, release)
    if record.state is ReleaseState.DEPLOYED:
        raise ConflictError(f"{release} is deployed; withdraw its rollout instead")
    if record.state is not ReleaseState.REFUSED:
        _become(connection, release, ReleaseState.REFUSED, at=at, reason=reason)


def published(connection: sa.Connection, release: Release, *, at: datetime) -> None:
    """Note that the release's bundles are vouched for."""
    record = _unrefused(connection, release)
    if record.state is ReleaseState.REGISTERED:
        raise ConflictError(f"{release} is not packaged yet")
    if record.state is ReleaseState.PACKAGED:
        _become(connection, release, ReleaseState.PUBLISHED, at=at)


def deployed(connection: sa.Connection, release: Release, *, at: datetime) -> None:
    """Note that the candidate endpoint answers with it, and rightly."""
    record = _unrefused(connection, release)
    if record.state in {ReleaseState.REGISTERED, ReleaseState.PACKAGED}:
        raise ConflictError(f"{release} is not published yet")
    if record.state is ReleaseState.PUBLISHED:
        _become(connection, release, ReleaseState.DEPLOYED, at=at)


def _unrefused(connection: sa.Connection, release: Release) -> ReleaseRecord:
    record = get(connection, release)
    if record.state is ReleaseState.REFUSED:
        raise ReleaseRefusedError(f"{release} was refused: {record.reason}")
    return record


def claim(
    connection: sa.Connection, release: Release, execution: str, *, instead_of: str
) -> bool:
    """Give the release to the first workflow execution that asks.

    One that is known to have failed loses it to the next that names it.
    """
    record = get(connection, release)
    if record.execution == execution:
        return True
    if record.execution and record.execution != instead_of:
        return False
    change(connection, release, execution=execution)
    return True


def record_model_version(
    connection: sa.Connection, release: Release, model_version: str
) -> None:
    """Note Vertex AI's name of the uploaded version."""
    get(connection, release)
    change(connection, release, model_version=model_version)


def deployed_id(connection: sa.Connection, release: Release, endpoint: str) -> str:
    """Return the id of the release's deployed model, allocated at the first call."""
    if endpoint not in ENDPOINTS:
        raise ConflictError(f"an endpoint is one of {ENDPOINTS}, not {endpoint[:80]!r}")
    known = get(connection, release).deployed_ids.get(endpoint)
    if known is not None:
        return known
    row = {**key_of(release), "endpoint": endpoint}
    allocate = sa.insert(DEPLOYED_IDS).values(row).returning(DEPLOYED_IDS.c.id)
    return str(connection.execute(allocate).scalar_one())


def history(connection: sa.Connection, subject: object) -> tuple[Change, ...]:
    """Return what became of a release, a rollout or a device, oldest first."""
    rows = connection.execute(
        sa.select(CHANGES.c.at, CHANGES.c.what, CHANGES.c.reason, CHANGES.c.by)
        .where(CHANGES.c.subject == str(subject))
        .order_by(CHANGES.c.id.desc())
        .limit(HISTORY_MAX)
    )
    return tuple(Change(*row) for row in rows)[::-1]


def _become(
    connection: sa.Connection,
    release: Release,
    state: ReleaseState,
    *,
    at: datetime,
    reason: str = "",
) -> None:
    change(connection, release, state=state, reason=reason, changed_at=at)
    add_change(connection, release, Change(at, state, reason))


def change(connection: sa.Connection, release: Release, **values: object) -> None:
    """Overwrite some columns of a release."""
    connection.execute(
        sa.update(RELEASES).where(*is_release(RELEASES, release)).values(**values)
    )


def key_of(release: Release) -> dict[str, object]:
    """Return the columns that name a release."""
    return {"model": release.model, "version": release.version}


def is_release(table: sa.Table, release: Release) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what holds for the release's rows of a table."""
    return table.c.model == release.model, table.c.version == release.version
