"""The signed rollout document, and which release it gives a device.

One small document a model, the same for every gateway: each finds out for
itself what it should run. Whoever is admitted stays admitted when a share
grows, since a device's position in a rollout never changes.

Source: docs/protocol.md, 4 "The rollout document"
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from packhorse.errors import MalformedError
from packhorse.manifest import MEMBER_MAX_BYTES
from packhorse.names import (
    MODEL,
    RING_MAX,
    SHA256,
    VARIANT,
    Release,
    check_variant,
    parse_release,
)
from packhorse.strict_json import Fields, decode_json, encode_json

ROLLOUT_MAX_BYTES = 65_536
"""A document has about 1 kB; a long list of withdrawn releases is the rest."""

FORMAT = 1
WHOLE = 10_000
"""Shares are ten-thousandths: 500 is 5 %."""
ROLLOUT_ID = r"[a-z0-9@#.-]{0,100}"
WITHDRAWN_MAX = 1000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BundleRef:
    """Where a bundle lies, and what it must be.

    Attributes:
        target: Path of the TUF target, `bundles/magika/2/fp32.tar`.
    """

    target: str
    length_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse what cannot name a bundle."""
        if re.fullmatch(SHA256, self.sha256) is None:
            raise MalformedError(f"{self.target[:80]!r} has no SHA-256 in hex")
        if not 0 < self.length_bytes <= MEMBER_MAX_BYTES:
            raise MalformedError(f"{self.target[:80]!r} has no length")


@dataclass(frozen=True, slots=True)
class Offer:
    """A release, with the bundle of each of its variants."""

    release: Release
    variants: Mapping[str, BundleRef]

    def __post_init__(self) -> None:
        """Refuse a bundle that is not of this release."""
        for variant, bundle in self.variants.items():
            if bundle.target != bundle_target(self.release, variant):
                raise MalformedError(
                    f"{self.release} names the bundle {bundle.target[:80]!r}, "
                    f"not {bundle_target(self.release, variant)!r}"
                )


@dataclass(frozen=True, slots=True)
class RolloutDocument:
    """What the gateways of one model should run.

    Attributes:
        sequence: Grows with every change; a gateway never goes back.
        stable: What everyone runs who is not admitted to the candidate.
        rollout_id: Names the rollout of the candidate; empty without one.
        shares: Share of each ring that the candidate admits, in 1/10,000.
        enrolled_before: Only devices that the cloud enrolled before this instant
            are admitted: those that were counted when the first ring opened. None
            once the rollout has opened wider.
        withdrawn: Releases that nobody may run, newest last.
        is_held: Whether gateways keep what they have, whatever the rest says.
    """

    model: str
    sequence: int
    stable: Offer | None = None
    candidate: Offer | None = None
    rollout_id: str = ""
    shares: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    enrolled_before: datetime | None = None
    withdrawn: tuple[Release, ...] = ()
    is_held: bool = False

    def __post_init__(self) -> None:
        """Refuse a document that contradicts itself."""
        offers = [offer for offer in (self.stable, self.candidate) if offer]
        for offer in offers:
            if offer.release.model != self.model:
                raise MalformedError(
                    f"the rollout of {self.model} offers {offer.release}"
                )
            if offer.release in self.withdrawn:
                raise MalformedError(f"{offer.release} is both offered and withdrawn")
        if bool(self.candidate) != bool(self.rollout_id):
            raise MalformedError("a candidate and a rollout id come together")
        if any(not 0 <= share <= WHOLE for share in self.shares.values()):
            raise MalformedError(f"a share lies in 0..{WHOLE}")


def bundle_target(release: Release, variant: str) -> str:
    """Return the path of the TUF target that holds this bundle."""
    return f"bundles/{release.model}/{release.version}/{check_variant(variant)}.tar"


def rollout_target(model: str) -> str:
    """Return the path of the TUF target that holds the model's rollout document."""
    return f"rollouts/{model}.json"


def device_position(rollout_id: str, device: str) -> int:
    """Return where a device stands in a rollout, uniform in [0, 10,000).

    Source: docs/protocol.md, 4.2
    """
    digest = hashlib.sha256(f"{rollout_id}\n{device}".encode()).digest()
    return int.from_bytes(digest[:8]) * WHOLE >> 64


def assigned_offer(
    document: RolloutDocument,
    *,
    device: str,
    ring: int,
    enrolled_at: datetime | None = None,
) -> Offer | None:
    """Decide which release the document gives a device; None when none does.

    Args:
        document: The rollout of one model.
        device: Its name.
        ring: The ring that it is enrolled in.
        enrolled_at: When the cloud enrolled it, by the cloud's clock; None where
            that is not known, for long ago.
    """
    before = document.enrolled_before
    is_late = before is not None and (enrolled_at or _LONG_AGO) >= before
    share = 0 if is_late else document.shares.get(ring, 0)
    if (
        document.candidate is not None
        and device_position(document.rollout_id, device) < share
    ):
        return document.candidate
    return document.stable


def encode_rollout(document: RolloutDocument) -> bytes:
    """Write the document as canonical JSON."""
    return encode_json(
        {
            "format": FORMAT,
            "kind": "model",
            "model": document.model,
            "sequence": document.sequence,
            "stable": _encode_offer(document.stable),
            "candidate": _encode_offer(document.candidate),
            "rollout_id": document.rollout_id,
            "shares": {str(ring): share for ring, share in document.shares.items()},
            "enrolled_before": _encode_instant(document.enrolled_before),
            "withdrawn": [str(release) for release in document.withdrawn],
            "is_held": document.is_held,
            "deltas": {},
        }
    )


def decode_rollout(body: bytes) -> RolloutDocument:
    """Read a rollout document.

    Raises:
        LimitExceededError: It is longer than `ROLLOUT_MAX_BYTES`.
        MalformedError: It is none, or contradicts itself.
    """
    value = decode_json(body, what="rollout document", limit_bytes=ROLLOUT_MAX_BYTES)
    fields = Fields(value, "the rollout document")
    fields.integer("format", low=FORMAT, high=FORMAT)
    fields.text("kind", pattern="model")
    withdrawn = fields.sequence("withdrawn", max_items=WITHDRAWN_MAX)
    # Reserved: deltas by target, from a later version of this software.
    fields.mapping("deltas")
    document = RolloutDocument(
        model=fields.text("model", pattern=MODEL),
        sequence=fields.integer("sequence"),
        stable=_decode_offer(fields.optional("stable")),
        candidate=_decode_offer(fields.optional("candidate")),
        rollout_id=fields.text("rollout_id", pattern=ROLLOUT_ID),
        shares=_decode_shares(fields.mapping("shares", max_items=RING_MAX + 1)),
        enrolled_before=_decode_instant(fields.optional("enrolled_before")),
        withdrawn=tuple(parse_release(str(entry)) for entry in withdrawn),
        is_held=fields.boolean("is_held"),
    )
    fields.done()
    return document


def encode_bundle_ref(bundle: BundleRef) -> dict[str, object]:
    """Return the reference as a JSON object."""
    return {
        "target": bundle.target,
        "length_bytes": bundle.length_bytes,
        "sha256": bundle.sha256,
    }


def decode_bundle_ref(value: object) -> BundleRef:
    """Read a reference from a JSON object."""
    fields = Fields(value, "a bundle's reference")
    bundle = BundleRef(
        target=fields.text("target", max_length=256),
        length_bytes=fields.integer("length_bytes", low=1),
        sha256=fields.text("sha256"),
    )
    fields.done()
    return bundle


def _encode_offer(offer: Offer | None) -> dict[str, object] | None:
    if offer is None:
        return None
    variants = {name: encode_bundle_ref(b) for name, b in offer.variants.items()}
    return {"release": str(offer.release), "variants": variants}


def _decode_offer(value: object | None) -> Offer | None:
    if value is None:
        return None
    fields = Fields(value, "an offer")
    release = parse_release(fields.text("release"))
    named = Fields(variants := fields.mapping("variants", max_items=32), "variants")
    fields.done()
    bundles = {name: decode_bundle_ref(named.take(name)) for name in variants}
    if any(re.fullmatch(VARIANT, name) is None for name in bundles):
        raise MalformedError(f"{release} has a variant with no proper name")
    return Offer(release, bundles)


def _encode_instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()


def _decode_instant(value: object | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedError(
            f"an instant must be ISO 8601, not {str(value)[:40]!r}"
        ) from error


def _decode_shares(value: Mapping[str, object]) -> dict[int, int]:
    fields = Fields(value, "the shares")
    if any(re.fullmatch(r"0|[1-9][0-9]?", ring) is None for ring in value):
        raise MalformedError(f"shares are given by ring, 0..{RING_MAX}")
    return {int(ring): fields.integer(ring, high=WHOLE) for ring in value}
