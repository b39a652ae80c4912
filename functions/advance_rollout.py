"""Advance rollouts: one short pass, which repeats whatever is missing.

The order is fixed. The ledger decides first, if unchanged since read; then the
document is signed, then the serving endpoint's split follows, and only then is
the change marked as published and told to the devices. A pass that breaks off
anywhere is finished by the next one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import functions_framework

from functions import outbox, replies, wiring
from functions.deploy_steps import failure_of_step, remember_operation
from functions.errors import CloudError, ConflictError
from functions.events import Message
from functions.release import rollout
from functions.release.gate import (
    Decision,
    RingCounts,
    decide,
    failure_reason,
    first_share,
    limit_devices,
    rings_to_open,
    shadow_obstacle,
)
from functions.release.rollout import RolloutRecord, document_from
from functions.release.traffic import opening_percent, unneeded, wanted_split
from packhorse.assignment import encode_rollout
from packhorse.names import check_model
from packhorse.strict_json import Fields, decode_json

ADVANCE_MAX_BYTES = 1024
"""An `advance` event names a model, or none."""

RENEWAL_MINUTE = 23
"""Of each hour: then the role `rollouts` is renewed, if it grows old, and follows
what keyholders decided. Both read the bucket, which each minute is not worth."""

SERVING_STEP = "deploy_serving"
"""What the ledger and its reasons call the deployment on the serving endpoint."""


@functions_framework.cloud_event
@replies.as_event
def advance_rollout(message: Message) -> None:
    """Advance the rollout of the model that the event names, or every one."""
    model = _model(message.data)
    models = [model] if model else wiring.ledger().active_models()
    failures = [failure for each in models if (failure := _try(each)) is not None]
    outbox.flush(wiring.ledger(), wiring.publisher())
    if failures:
        raise failures[0]
    if not model and message.published_at.minute == RENEWAL_MINUTE:
        replies.note(renewed=list(wiring.rollout_repository().renew_roles()))


def _model(body: bytes) -> str:
    value = decode_json(body, what="advance event", limit_bytes=ADVANCE_MAX_BYTES)
    fields = Fields(value, "the advance event")
    model = fields.optional("model")
    fields.done()
    return "" if model is None else check_model(str(model))


def _try(model: str) -> CloudError | None:
    """Advance one model; a failure of one must not hold the others back."""
    try:
        record = wiring.ledger().rollout(model)
        if record is not None:
            _carry_out(_decided(record))
    except CloudError as error:
        return error
    return None


def _decided(record: RolloutRecord) -> RolloutRecord:
    """Apply the gate; return the record that holds from now on."""
    ledger = wiring.ledger()
    counts = {
        ring: ledger.ring_counts(
            record.rollout_id,
            ring=ring,
            share=share,
            enrolled_before=record.enrolled_before,
        )
        for ring, share in record.shares.items()
    }
    now, rings = datetime.now(UTC), ledger.rings()
    decision = decide(record, counts, wiring.gate(), rings=rings, now=now)
    replies.note(**{record.model: decision.value})
    changed = _halted(record, decision) or _changed(record, decision, counts, now)
    if changed is None:
        return record
    ledger.save_rollout(changed, expected_sequence=record.sequence, at=now)
    return changed


def _halted(record: RolloutRecord, decision: Decision) -> RolloutRecord | None:
    """Return the record that shadow runs halt; None where they do not."""
    candidate, stable = record.candidate, record.stable
    if decision is Decision.WITHDRAW or candidate is None or stable is None:
        return None
    counts = wiring.ledger().shadow_counts(
        stable.release, candidate.release, since=record.resumed_at
    )
    obstacle = shadow_obstacle(record, counts, wiring.gate())
    if not obstacle:
        return None
    replies.note(**{record.model: "halt"})
    return rollout.halt(record, reason=obstacle)


def _changed(
    record: RolloutRecord,
    decision: Decision,
    counts: Mapping[int, RingCounts],
    now: datetime,
) -> RolloutRecord | None:
    """Return the next record; None when nothing changes, or not yet."""
    candidate = record.candidate
    if decision is Decision.WAIT or candidate is None:
        return None
    if decision is Decision.OPEN_FIRST:
        return _open_first(record, now)
    if decision is Decision.WITHDRAW:
        reason = failure_reason(record, counts)
        return rollout.withdraw(record, candidate.release, reason=reason)
    reason = failure_of_step(candidate.release, SERVING_STEP)
    if reason:
        # Devices serve it well, so it is not the release: a person must look.
        return rollout.halt(record, reason=reason)
    return _went_on(record, decision, now) if _is_served(record) else None


def _went_on(record: RolloutRecord, decision: Decision, now: datetime) -> RolloutRecord:
    if decision is Decision.FINISH:
        return rollout.finish(record)
    return _open_next(record, now)


def _open_first(record: RolloutRecord, now: datetime) -> RolloutRecord:
    ledger = wiring.ledger()
    ring = ledger.rings()[0]
    limit = limit_devices(ledger.fleet_size(), wiring.gate())
    devices = ledger.devices_in_ring(ring)
    rollout_id, share = first_share(devices, record.rollout_id, limit)
    return rollout.open_first(
        record, ring=ring, share=share, rollout_id=rollout_id, at=now
    )


def _open_next(record: RolloutRecord, now: datetime) -> RolloutRecord:
    endpoint = _serving_endpoint(record.model)
    served = wiring.vertex().read_endpoint(endpoint).served if endpoint else ()
    is_stable_served = record.stable is not None and record.stable.release in served
    return rollout.open_wider(
        record,
        rings=rings_to_open(record, wiring.ledger().rings()),
        traffic_percent=opening_percent(record, is_stable_served=is_stable_served),
        at=now,
    )


def _is_served(record: RolloutRecord) -> bool:
    """Tell whether the candidate stands on the serving endpoint; else put it there."""
    endpoint = _serving_endpoint(record.model)
    if endpoint is None or record.candidate is None:
        return True
    release = record.candidate.release
    known = wiring.ledger().release(release)
    if known is None or not known.model_version:
        raise ConflictError(f"{release} was rolled out before it was uploaded")
    return wiring.vertex().ensure_deployed(
        endpoint,
        release,
        version=known.model_version,
        deployed_id=wiring.ledger().deployed_id(release, "serving"),
        on_begin=remember_operation(release, SERVING_STEP),
    )


def _carry_out(record: RolloutRecord) -> None:
    """Make the world follow the record."""
    if not record.is_published:
        document = encode_rollout(document_from(record))
        wiring.rollout_repository().publish_rollout(record.model, document)
    _move_traffic(record)
    if not record.is_published:
        marked = rollout.mark_published(record)
        wiring.ledger().save_rollout(marked, expected_sequence=record.sequence)


def _move_traffic(record: RolloutRecord) -> None:
    endpoint = _serving_endpoint(record.model)
    if endpoint is None:
        return
    view = wiring.vertex().read_endpoint(endpoint)
    wanted = wanted_split(record, view.served)
    if wiring.vertex().move_traffic(view, wanted):
        percents = {str(release): share for release, share in wanted.items()}
        replies.note(traffic=percents)
    if wanted:
        # One for each pass: the endpoint is busy with it afterwards.
        for release in unneeded(record, view.served)[:1]:
            wiring.vertex().undeploy(view, release)


def _serving_endpoint(model: str) -> str | None:
    """Return where the cloud's callers are answered; None where only devices are."""
    named = wiring.model_endpoints().get(model)
    return None if named is None else named.serving
