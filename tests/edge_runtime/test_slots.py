"""Two slots, and that no power cut leaves the active one broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import SlotError
from edge_runtime.slots import MARKER_NAME, open_slots
from tests.edge_runtime.gateways import install, install_tiny
from tests.models import tiny_bundle

ROOT = Path(__file__).resolve().parents[2]


def test_an_installed_slot_knows_its_release_and_an_empty_one_has_none(state_dir):
    slot = install_tiny(state_dir, "a", 3)
    assert str(slot.release) == "tiny@3"
    assert slot.verify().release == slot.manifest().release
    assert open_slots(state_dir).slot("b").release is None


def test_nothing_is_active_before_the_first_activation(state_dir):
    slots = open_slots(state_dir)
    assert slots.active() is None
    assert slots.inactive().name == "a"


def test_activation_makes_the_other_slot_the_inactive_one(state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    install_tiny(state_dir, "b", 2, is_active=True)
    slots = open_slots(state_dir)
    assert slots.active().name == "b"
    assert slots.inactive().name == "a"
    slots.activate(slots.slot("b"))
    assert slots.active().name == "b"


def test_an_empty_slot_cannot_be_activated(state_dir):
    slots = open_slots(state_dir)
    with pytest.raises(SlotError, match="slot b holds no"):
        slots.activate(slots.slot("b"))


def test_a_broken_active_slot_is_where_the_next_release_goes(state_dir):
    install_tiny(state_dir, "b", 1)
    slot = install_tiny(state_dir, "a", 2, is_active=True)
    (slot.path / MARKER_NAME).write_bytes(b"{}")
    slots = open_slots(state_dir)
    assert slots.active() is None
    assert slots.inactive().name == "a"


@pytest.mark.parametrize("marker", [b"", b"{", b"{}", b'{"format":2}', b"x" * 5000])
def test_a_slot_with_a_broken_marker_counts_as_empty(state_dir, marker):
    slot = install_tiny(state_dir, "a")
    (slot.path / MARKER_NAME).write_bytes(marker)
    assert not slot.is_sealed


def test_a_slot_whose_member_is_shorter_counts_as_empty(state_dir):
    slot = install_tiny(state_dir, "a")
    path = slot.member_path("model.onnx")
    path.write_bytes(path.read_bytes()[:-1])
    assert not slot.is_sealed


def test_a_flipped_bit_is_found_when_the_slot_is_verified(state_dir):
    slot = install_tiny(state_dir, "a")
    path = slot.member_path("model.onnx")
    body = bytearray(path.read_bytes())
    body[50] ^= 1
    path.write_bytes(body)
    with pytest.raises(SlotError, match=r"model\.onnx should have SHA-256"):
        slot.verify()


def test_a_slot_with_a_wrong_member_is_not_sealed(state_dir):
    manifest, _ = tiny_bundle(1)
    slot = install_tiny(state_dir, "a", 2)
    with pytest.raises(SlotError):
        slot.seal(manifest)
    assert not slot.is_sealed


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "manifest.json", MARKER_NAME])
def test_a_member_cannot_be_written_elsewhere_or_over_our_own_files(state_dir, name):
    with pytest.raises(SlotError):
        open_slots(state_dir).slot("a").member_path(name)


def test_only_a_and_b_are_slots(state_dir):
    with pytest.raises(SlotError, match="'c'"):
        open_slots(state_dir).slot("c")


CUT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from edge_runtime.durable import EVENT
from edge_runtime.slots import open_slots
from tests.edge_runtime.gateways import install

state, bundle = Path({state!r}), Path({bundle!r}).read_bytes()
step = 0
while True:
    step += 1
    pid = os.fork()
    if not pid:
        left = step
        def cut(event, arguments):
            global left
            if event == EVENT:
                left -= 1
                if not left:
                    os._exit(9)
        sys.addaudithook(cut)
        slots = open_slots(state)
        slots.activate(install(state, "b", bundle))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    active = open_slots(state).active()
    active.verify()
    print(step, code, active.release, flush=True)
    if code == 0:
        break
    open_slots(state).activate(open_slots(state).slot("a"))
"""


def test_a_power_cut_at_any_durable_step_leaves_a_whole_active_slot(state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    bundle = state_dir / "2.tar"
    bundle.write_bytes(tiny_bundle(2)[1])
    script = CUT.format(root=str(ROOT), state=str(state_dir), bundle=str(bundle))

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) > 20
    assert lines[0] == ["1", "9", "tiny@1"]
    assert lines[-1][1:] == ["0", "tiny@2"]
    assert {code for _, code, _ in lines[:-1]} == {"9"}


def test_installing_again_over_a_half_installed_slot_works(state_dir):
    slot = install_tiny(state_dir, "a", 1)
    (slot.path / MARKER_NAME).unlink()
    (slot.path / "rest").mkdir()
    (slot.path / "rest" / "file").write_bytes(b"left over")
    again = install(state_dir, "a", tiny_bundle(1)[1])
    assert again.is_sealed
    assert not (slot.path / "rest").exists()
