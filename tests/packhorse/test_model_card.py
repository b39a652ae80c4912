"""A model card says who answers for a model, and nothing that it may not."""

from dataclasses import replace

import pytest

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.model_card import (
    CARD_MAX_BYTES,
    ModelCard,
    card_fields,
    decode_card,
    encode_card,
    read_card,
)
from packhorse.shadow_limits import NO_LIMITS, ShadowLimits
from packhorse.strict_json import encode_json
from packhorse.tolerance import Tolerance

CARD = ModelCard(
    "digits", "the team", "Apache-2.0 OR MIT", {"y": Tolerance(0.1, 0.0)}, "Reads ü."
)


def test_a_card_survives_the_way():
    assert decode_card(encode_card(CARD)) == CARD
    assert read_card(card_fields(CARD)) == CARD


def test_a_card_with_limits_survives_the_way():
    tolerance = Tolerance(0.1, 0.0, 0.5, {"aarch64": Tolerance(1.0, 0.0)})
    limits = ShadowLimits(0.9, min_requests=5)
    card = replace(CARD, tolerances={"y": tolerance}, shadow=limits)
    assert decode_card(encode_card(card)) == card


def test_a_card_of_old_has_no_limits():
    assert "shadow" not in card_fields(CARD)
    assert read_card(card_fields(CARD)).shadow == NO_LIMITS


@pytest.mark.parametrize(
    "change",
    [
        {"shadow": {"min_agreement": 7, "min_requests": 1}},
        {"model": "No Model"},
        {"owner": 1},
        {"owner": "x" * 201},
        {"licence": ""},
        {"licence": "<script>"},
        {"description": "x" * 16_385},
        {"tolerances": []},
        {"tolerances": {"y": {"absolute": -1, "relative": 0}}},
        {"tolerances": {"y": {"absolute": 1}}},
        {"unknown": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_card_that_is_none_is_refused(change):
    with pytest.raises(MalformedError):
        decode_card(encode_json(card_fields(CARD) | change))


@pytest.mark.parametrize("name", sorted(card_fields(CARD)))
def test_a_card_that_lacks_a_field_is_refused(name):
    fields = card_fields(CARD)
    del fields[name]
    with pytest.raises(MalformedError, match=name):
        decode_card(encode_json(fields))


def test_a_card_that_is_too_long_is_refused_unread():
    with pytest.raises(LimitExceededError, match="a model card may be"):
        decode_card(b" " * (CARD_MAX_BYTES + 1))
