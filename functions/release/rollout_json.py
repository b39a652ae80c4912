"""Write a rollout record as JSON, for the ledger and for `operate`."""

from collections.abc import Mapping
from datetime import datetime

from functions.release.rollout import RolloutRecord, RolloutState
from packhorse.assignment import (
    BundleRef,
    Offer,
    decode_bundle_ref,
    encode_bundle_ref,
)
from packhorse.names import parse_release
from packhorse.strict_json import Fields

_REASON_MAX = 10_000
_WITHDRAWN_MAX = 1_000


def encode_record(record: RolloutRecord) -> dict[str, object]:
    """Return the record as a JSON object."""
    return {
        "model": record.model,
        "sequence": record.sequence,
        "rollout_id": record.rollout_id,
        "state": record.state.value,
        "candidate": _encode_offer(record.candidate),
        "stable": _encode_offer(record.stable),
        "former": _encode_offer(record.former),
        "ring": record.ring,
        "shares": {str(ring): share for ring, share in record.shares.items()},
        "opened_at": record.opened_at.isoformat(),
        "enrolled_before": (
            record.enrolled_before.isoformat() if record.enrolled_before else None
        ),
        "resumed_at": record.resumed_at.isoformat() if record.resumed_at else None,
        "traffic_percent": record.traffic_percent,
        "withdrawn": [str(release) for release in record.withdrawn],
        "reason": record.reason,
        "published_sequence": record.published_sequence,
    }


def decode_record(value: object) -> RolloutRecord:
    """Read a record from a JSON object."""
    fields = Fields(value, "a rollout record")
    shares = Fields(by_ring := fields.mapping("shares"), "the shares")
    before = fields.optional("enrolled_before")
    resumed = fields.optional("resumed_at")
    return RolloutRecord(
        model=fields.text("model"),
        sequence=fields.integer("sequence"),
        rollout_id=fields.text("rollout_id"),
        state=RolloutState(fields.text("state")),
        candidate=_decode_offer(fields.optional("candidate")),
        stable=_decode_offer(fields.optional("stable")),
        former=_decode_offer(fields.optional("former")),
        ring=fields.integer("ring"),
        shares={int(ring): shares.integer(ring) for ring in by_ring},
        opened_at=datetime.fromisoformat(fields.text("opened_at")),
        enrolled_before=(
            None if before is None else datetime.fromisoformat(str(before))
        ),
        resumed_at=None if resumed is None else datetime.fromisoformat(str(resumed)),
        traffic_percent=fields.integer("traffic_percent"),
        withdrawn=tuple(
            parse_release(str(name))
            for name in fields.sequence("withdrawn", max_items=_WITHDRAWN_MAX)
        ),
        reason=fields.text("reason", max_length=_REASON_MAX),
        published_sequence=fields.integer("published_sequence"),
    )


def _encode_offer(offer: Offer | None) -> Mapping[str, object] | None:
    if offer is None:
        return None
    bundles = {name: encode_bundle_ref(ref) for name, ref in offer.variants.items()}
    return {"release": str(offer.release), "variants": bundles}


def _decode_offer(value: object) -> Offer | None:
    if value is None:
        return None
    fields = Fields(value, "an offer")
    release = parse_release(fields.text("release"))
    named = Fields(bundles := fields.mapping("variants"), "the variants")
    refs: dict[str, BundleRef] = {
        name: decode_bundle_ref(named.take(name)) for name in bundles
    }
    return Offer(release, refs)
