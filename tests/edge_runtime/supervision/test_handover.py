"""What the supervisor remembers of a handover."""

import json
from dataclasses import replace

import pytest

from edge_runtime.slots import open_slots
from edge_runtime.supervision.handover import (
    HANDOVER_MAX_BYTES,
    REASON_MAX,
    Handover,
    encode_handover,
    former_slot,
    load_handover,
    save_handover,
    switched,
)
from packhorse.names import parse_release
from tests.edge_runtime.gateways import install_tiny

ONE, TWO = parse_release("tiny@1"), parse_release("tiny@2")


def test_it_is_read_as_it_was_written(tmp_path):
    written = Handover(TWO, ONE, reason="é" * 1000, on_probation=True, boots=2)
    save_handover(tmp_path, written)
    assert load_handover(tmp_path) == written
    assert len(encode_handover(written)) < HANDOVER_MAX_BYTES
    assert len(written.reason) == REASON_MAX


@pytest.mark.parametrize("change", [{"boots": -1}, {"more": 1}, {"number": "x"}])
def test_one_that_is_none_is_as_good_as_none(tmp_path, change):
    document = json.loads(encode_handover(Handover(ONE)))
    (tmp_path / "handover.json").write_text(json.dumps({**document, **change}))
    assert load_handover(tmp_path) is None


def test_two_alike_are_told_apart():
    assert switched(TWO, ONE) != switched(TWO, ONE)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        (Handover(None), "a"),
        (switched(TWO, ONE), "a"),
        (switched(TWO, None), None),
        (switched(TWO, TWO), None),
        (switched(ONE, TWO), None),
        (switched(TWO, parse_release("tiny@3")), None),
        (replace(switched(TWO, ONE), on_probation=False), "a"),
    ],
    ids=[
        "nothing known",
        "switched",
        "first",
        "again",
        "never happened",
        "other slot was filled since",
        "probation over",
    ],
)
def test_there_is_a_way_back_only_to_what_served_before(state_dir, known, name):
    install_tiny(state_dir, "a", 1)
    install_tiny(state_dir, "b", 2, is_active=True)
    found = former_slot(open_slots(state_dir), known)
    assert (found.name if found else None) == name
