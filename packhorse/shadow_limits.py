"""When a shadow run on live requests refuses a release.

Its owner says so in the model card, and the manifest carries it under the
release's signature. A gateway can only be stricter. Without any limit a release
may disagree with the one before it as much as it likes: it may well be meant to.

Source: docs/protocol.md, 2 "The manifest"
"""

from dataclasses import dataclass

from packhorse.errors import MalformedError
from packhorse.strict_json import Fields

DEFAULT_MIN_REQUESTS = 20
"""Of fewer, one that differs would be more than a twentieth."""

MIN_REQUESTS_MAX = 1_000_000
LATENCY_RATIO_MAX = 1000.0


@dataclass(frozen=True, slots=True)
class ShadowLimits:
    """What a candidate must show beside the active release.

    Attributes:
        min_agreement: Least share of live requests answered alike, in (0, 1].
        max_latency_ratio: Most time that it may take, in that of the active one.
        min_requests: Live requests below which neither is judged.
    """

    min_agreement: float | None = None
    max_latency_ratio: float | None = None
    min_requests: int = DEFAULT_MIN_REQUESTS

    def __post_init__(self) -> None:
        """Refuse limits that nothing, or everything, would meet."""
        agreement, ratio = self.min_agreement, self.max_latency_ratio
        if agreement is not None and not 0.0 < agreement <= 1.0:
            raise MalformedError(f"min_agreement must lie in (0, 1], not {agreement}")
        if ratio is not None and not 0.0 < ratio <= LATENCY_RATIO_MAX:
            raise MalformedError(
                f"max_latency_ratio must lie in (0, {LATENCY_RATIO_MAX:g}], not {ratio}"
            )
        if not 1 <= self.min_requests <= MIN_REQUESTS_MAX:
            raise MalformedError(
                f"min_requests must lie in 1..{MIN_REQUESTS_MAX}, "
                f"not {self.min_requests}"
            )

    @property
    def can_refuse(self) -> bool:
        """Whether there is any limit at all."""
        return self.min_agreement is not None or self.max_latency_ratio is not None

    def tightened(self, other: "ShadowLimits") -> "ShadowLimits":
        """Return these limits, made stricter where `other` is; never wider.

        How many requests are needed stays what these limits say, unless they say
        nothing at all.
        """
        agreements = (self.min_agreement, other.min_agreement)
        ratios = (self.max_latency_ratio, other.max_latency_ratio)
        return ShadowLimits(
            max((one for one in agreements if one is not None), default=None),
            min((one for one in ratios if one is not None), default=None),
            (self if self.can_refuse else other).min_requests,
        )


NO_LIMITS = ShadowLimits()


def encode_shadow_limits(limits: ShadowLimits) -> dict[str, object]:
    """Return the limits as JSON has them."""
    return {
        "min_agreement": limits.min_agreement,
        "max_latency_ratio": limits.max_latency_ratio,
        "min_requests": limits.min_requests,
    }


def decode_shadow_limits(value: object) -> ShadowLimits:
    """Read the limits; nothing at all, as documents of old have it, is no limit.

    Raises:
        MalformedError: They are none.
    """
    if value is None:
        return NO_LIMITS
    fields = Fields(value, "the limits of the shadow run")
    limits = ShadowLimits(
        _optional_number(fields, "min_agreement"),
        _optional_number(fields, "max_latency_ratio"),
        fields.integer("min_requests", high=MIN_REQUESTS_MAX),
    )
    fields.done()
    return limits


def _optional_number(fields: Fields, name: str) -> float | None:
    value = fields.optional(name)
    if value is None:
        return None
    return Fields({name: value}, "the limits of the shadow run").number(name)
