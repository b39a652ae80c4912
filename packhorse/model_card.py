"""What its owner says about a model: the layer `card.json` of a push.

Source: docs/protocol.md, 7 "The pushed model"
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from packhorse.names import MODEL
from packhorse.shadow_limits import (
    NO_LIMITS,
    ShadowLimits,
    decode_shadow_limits,
    encode_shadow_limits,
)
from packhorse.strict_json import Fields, decode_json, encode_json
from packhorse.tolerance import Tolerance, decode_tolerances, encode_tolerances

CARD_MAX_BYTES = 65_536
"""A description of one page, and a tolerance for every output."""
DESCRIPTION_MAX = 16_384

_LICENCE = r"[A-Za-z0-9 .()+-]{1,200}"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What its owner says about a model.

    Attributes:
        licence: An SPDX expression, "Apache-2.0".
        tolerances: How far outputs may lie from their golden values, by output;
            an output that is not named has `packhorse.tolerance.DEFAULT_TOLERANCE`.
        description: Plain text, for people.
        shadow: What a gateway must see on live requests; none says nothing.
    """

    model: str
    owner: str
    licence: str
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    description: str = ""
    shadow: ShadowLimits = NO_LIMITS


def card_fields(card: ModelCard) -> dict[str, object]:
    """Return the card as a JSON object."""
    limits = {"shadow": encode_shadow_limits(card.shadow)}
    return {
        "model": card.model,
        "owner": card.owner,
        "licence": card.licence,
        "description": card.description,
        "tolerances": encode_tolerances(card.tolerances),
        **(limits if card.shadow.can_refuse else {}),
    }


def encode_card(card: ModelCard) -> bytes:
    """Write the card as canonical JSON, the bytes of the layer `CARD_FILE`."""
    return encode_json(card_fields(card))


def decode_card(body: bytes) -> ModelCard:
    """Read a model card.

    Raises:
        LimitExceededError: It is longer than `CARD_MAX_BYTES`.
        MalformedError: It is none.
    """
    return read_card(decode_json(body, what="model card", limit_bytes=CARD_MAX_BYTES))


def read_card(value: object) -> ModelCard:
    """Make a model card of its JSON object."""
    fields = Fields(value, "the model card")
    card = ModelCard(
        model=fields.text("model", pattern=MODEL),
        owner=fields.text("owner", max_length=200),
        licence=fields.text("licence", pattern=_LICENCE),
        description=fields.text("description", max_length=DESCRIPTION_MAX),
        tolerances=decode_tolerances(fields.mapping("tolerances")),
        shadow=decode_shadow_limits(fields.optional("shadow")),
    )
    fields.done()
    return card
