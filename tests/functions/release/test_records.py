"""A release offers its bundles once it has them all; a rollout survives JSON."""

import pytest

from functions.errors import ConflictError
from functions.release import rollout
from functions.release.records import ReleaseRecord, ReleaseState
from functions.release.rollout_json import decode_record, encode_record
from packhorse.strict_json import decode_json, encode_json


@pytest.fixture
def record(offer):
    def make(**variants):
        return ReleaseRecord(
            release=offer(1).release,
            digest="sha256:x",
            state=ReleaseState.REGISTERED,
            reason="",
            card={},
            variants=variants,
            model_version="",
            deployed_ids={},
            execution="",
        )

    return make


def test_a_release_offers_all_its_bundles(record, offer):
    assert record(fp32=offer(1).variants["fp32"]).offer() == offer(1)


def test_a_release_that_lacks_one_offers_nothing(record, offer):
    half = record(fp32=offer(1).variants["fp32"], int8=None)

    with pytest.raises(ConflictError, match="lacks int8"):
        half.offer()


def test_every_state_of_a_rollout_reads_back(waiting, finished, opened, upgraded):
    halted = rollout.halt(opened, reason="odd")
    withdrawn = rollout.withdraw(upgraded, upgraded.stable.release, reason="NaN")

    for record in (waiting, finished, opened, upgraded, halted, withdrawn):
        body = encode_json(encode_record(record))
        value = decode_json(body, what="record", limit_bytes=10_000)
        assert decode_record(value) == record
