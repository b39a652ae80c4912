"""What the agent remembers over a power cut."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import (
    PROVEN_MAX,
    REFUSED_MAX,
    Deployment,
    Memory,
    MemoryFile,
    Refusal,
    decode_memory,
    encode_memory,
)
from packhorse.assignment import BundleRef
from packhorse.errors import MalformedError
from tests.edge_runtime.agent.bundles import release

DEPLOYMENT = Deployment(
    release=release(2),
    variant="fp32",
    bundle=BundleRef("bundles/magika/2/fp32.tar", 10, "a" * 64),
    rollout_id="magika@2#1",
    stage=Stage.TRY,
    valid_until=datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC),
    attempts=3,
    wait="hold",
    is_withdrawal=True,
)
FULL = Memory(
    deployment=DEPLOYMENT,
    refused=(Refusal(release(3), "magika@3#1", "NaN"),),
    proven=(release(1), release(2)),
    serving=release(1),
    serving_rollout_id="magika@1#1",
    complaint="expired",
    key_trouble="device.key cannot be used",
)


@pytest.mark.parametrize("memory", [Memory(), FULL], ids=["empty", "full"])
def test_what_is_saved_is_what_is_loaded(tmp_path, memory):
    file = MemoryFile(tmp_path / "agent" / "memory.json")

    file.save(memory)

    assert file.load() == memory


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[1]", b'{"format":2}'])
def test_a_memory_that_cannot_be_read_is_an_empty_one(tmp_path, body):
    path = tmp_path / "memory.json"
    path.write_bytes(body)

    assert MemoryFile(path).load() == Memory()


def test_a_memory_of_an_impossible_instant_is_an_empty_one(tmp_path):
    path = tmp_path / "memory.json"
    valid_until = f"{DEPLOYMENT.valid_until.timestamp()}".encode()
    path.write_bytes(encode_memory(FULL).replace(valid_until, b"1e300"))

    assert MemoryFile(path).load() == Memory()


def test_a_memory_cut_anywhere_is_malformed():
    body = encode_memory(FULL)
    for length in range(len(body)):
        with pytest.raises(MalformedError):
            decode_memory(body[:length])


def test_a_refusal_holds_for_its_rollout_and_no_other():
    memory = Memory().with_refusal(Refusal(release(2), "first", "NaN"))

    assert memory.refusal(release(2), "first") is not None
    assert memory.refusal(release(2), "second") is None
    assert memory.refusal(release(1), "first") is None


def test_lists_stay_bounded():
    memory = Memory()
    for version in range(1, 100):
        memory = memory.with_refusal(Refusal(release(version), "id", "bad"))
        memory = memory.with_serving(release(version))

    assert len(memory.refused) == REFUSED_MAX
    assert len(memory.proven) == PROVEN_MAX
    assert memory.proven[-1] == memory.serving == release(99)


def test_a_release_can_lose_its_proof():
    memory = replace(FULL).without_proof(release(2))
    assert memory.proven == (release(1),)


def test_refusals_with_long_foreign_reasons_are_all_remembered(tmp_path):
    memory = Memory(complaint="\U0001f4a3" * 500)
    for version in range(1, REFUSED_MAX + 1):
        refusal = Refusal(release(version), "r" * 100, "\U0001f4a3" * 500)
        memory = memory.with_refusal(refusal)
    file = MemoryFile(tmp_path / "agent" / "memory.json")

    file.save(memory)

    assert file.load() == memory
