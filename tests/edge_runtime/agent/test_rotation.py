"""A device changes its key, and at every moment some key of its own works."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.agent.errors import AgentError, RefusedError, UnavailableError
from edge_runtime.agent.identity.rotation import Rotation, ask_for_key
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.report import News, Spool
from packhorse.device_key import generate_key_pem, public_pem, verify_envelope
from packhorse.device_requests import ENROLL, check_voucher, decode_enrolment
from packhorse.errors import UntrustedError
from packhorse.report import DeviceState, open_envelope
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.full_disk import files_end_at

ROOT = Path(__file__).parents[3]


class Register:
    """A cloud that knows one key of one device, and changes it as ours does."""

    def __init__(self, key):
        self.key = key

    def judge(self, body):
        """Return what `enroll_device` answers to a rotation."""
        envelope = open_envelope(body)
        wanted = decode_enrolment(envelope.payload)
        verify_envelope(envelope, wanted.public_key, purpose=ENROLL)
        if wanted.public_key == self.key:
            return 200
        try:
            check_voucher(envelope.device, wanted, self.key)
        except UntrustedError:
            return 403
        self.key = wanted.public_key
        return 201


class Line:
    """Takes the place of the network: what is posted is judged, or lost on the way."""

    def __init__(self, register):
        self.register = register
        self.is_cut_before = self.is_cut_after = False

    def post(self, _url, body):
        if self.is_cut_before:
            raise UnavailableError("cut")
        status = self.register.judge(body)
        if self.is_cut_after:
            raise UnavailableError("cut")
        return status, b"{}"


@pytest.fixture
def register(identity):
    return Register(public_pem(identity.key_pem))


@pytest.fixture
def line(register):
    return Line(register)


@pytest.fixture
def carry_on(identity, line):
    """Do what an agent does that has just been started."""
    return lambda: Rotation(identity, line, "http://cloud/enroll").carry_on()


def key_of(identity):
    return public_pem(identity.key_pem)


def test_nothing_happens_that_nobody_wished(identity, carry_on, register):
    before = key_of(identity)

    carry_on()

    assert key_of(identity) == register.key == before
    assert not identity.next_key_file.exists()


def test_a_wish_gives_a_new_key_to_both_sides(identity, carry_on, register):
    before = key_of(identity)
    ask_for_key(identity.state_dir)

    carry_on()

    assert key_of(identity) == register.key != before
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    left = {path.name for path in identity.state_dir.iterdir()}
    assert "device.key.next" not in left
    assert "device.key.wanted" not in left
    carry_on()
    assert key_of(identity) == register.key


def test_the_new_key_is_on_the_disk_before_the_cloud_hears_of_it(
    identity, carry_on, register, line
):
    before = key_of(identity)
    identity.wish_for_rotation()
    line.is_cut_before = True

    carry_on()

    assert key_of(identity) == register.key == before
    waiting = identity.next_key_file.read_bytes()
    line.is_cut_before = False
    carry_on()
    assert identity.key_pem == waiting
    assert key_of(identity) == register.key


def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(
    identity, carry_on, register, line
):
    before = key_of(identity)
    identity.wish_for_rotation()
    line.is_cut_after = True
    for _ in range(3):
        carry_on()

    # The cloud has the new one, and this device does not know it yet.
    assert key_of(identity) == before != register.key
    line.is_cut_after = False
    carry_on()
    assert key_of(identity) == register.key


def test_a_wish_that_comes_while_one_is_carried_out_is_another(
    identity, carry_on, register, line
):
    identity.wish_for_rotation()
    line.is_cut_after = True
    carry_on()
    identity.wish_for_rotation()
    line.is_cut_after = False

    carry_on()
    first = key_of(identity)
    carry_on()

    assert key_of(identity) == register.key != first


def test_a_refusal_keeps_both_keys_and_is_not_repeated_at_once(
    identity, line, register
):
    before = identity.key_pem
    register.key = public_pem(generate_key_pem())
    identity.wish_for_rotation()
    rotation = Rotation(identity, line, "")
    rotation.carry_on()
    asked_again = []
    register.judge = asked_again.append

    rotation.carry_on()

    assert asked_again == []
    assert identity.key_pem == before
    assert identity.next_key_file.exists()


@pytest.mark.parametrize("status", [403, 409, 500, 404])
def test_an_answer_that_is_no_yes_changes_nothing(identity, register, status, line):
    before = identity.key_pem
    register.judge = lambda _: status
    identity.wish_for_rotation()

    Rotation(identity, line, "").carry_on()

    assert identity.key_pem == before


def test_a_disk_that_takes_nothing_stops_nothing_else(identity, carry_on, register):
    before = identity.key_pem
    identity.wish_file.touch()
    with files_end_at(0):
        identity.hear(b'{"is_rotation_wanted": true}')
        carry_on()

    assert identity.key_pem == before
    carry_on()
    assert key_of(identity) == register.key
    assert identity.key_pem != before


def test_a_next_key_that_nobody_can_read_is_made_anew(identity, carry_on, register):
    identity.next_key_file.write_bytes(b"half a key")
    identity.wish_for_rotation()

    carry_on()

    assert key_of(identity) == register.key


def test_a_gateway_without_a_key_cannot_change_it(tmp_path):
    with pytest.raises(AgentError, match="came none"):
        ask_for_key(tmp_path)


def test_the_wish_of_the_cloud_is_heard_and_nothing_else(identity):
    for reply in (b"", b"{", b"[]", b'{"is_rotation_wanted": 1}', b"\xff"):
        identity.hear(reply)
    assert not identity.wish_file.exists()

    identity.hear(b'{"is_rotation_wanted": true}')

    assert identity.wish_file.exists()


def test_reports_of_before_are_signed_with_the_key_of_now(
    identity, carry_on, receiver, register
):
    spool = Spool(identity.state_dir / "spool", device="gateway-1", sign=identity.sign)
    spool.add(News(DeviceState.ENROLLED))
    identity.wish_for_rotation()
    carry_on()

    assert spool.send(Web(), receiver.url) == 1

    envelope = open_envelope(receiver.bodies[0])
    verify_envelope(envelope, register.key)


def test_a_report_that_is_refused_says_how_final_that_is(identity, receiver):
    spool = Spool(identity.state_dir / "spool", device="gateway-1", sign=identity.sign)
    spool.add(News(DeviceState.ENROLLED))
    receiver.statuses = [403]

    with pytest.raises(RefusedError, match="a report") as refused:
        spool.send(Web(), receiver.url)

    assert not refused.value.is_revoked
    assert len(spool.waiting()) == 1


def test_the_answer_to_a_report_is_heard(identity, receiver):
    spool = Spool(identity.state_dir / "spool", device="gateway-1", sign=identity.sign)
    spool.add(News(DeviceState.ENROLLED))
    heard = []

    spool.send(Web(), receiver.url, hear=heard.append)

    assert b"gateway-1" in heard[0]


def test_a_rotation_killed_at_any_step_leaves_a_key_that_works(identity, tmp_path):
    register = tmp_path / "register"
    register.write_text(key_of(identity))

    def run(step):
        module = "tests.edge_runtime.agent.killed_rotation"
        fault = fault_text("kill", step)
        return subprocess.run(
            [sys.executable, "-m", module, identity.state_dir, register],
            cwd=ROOT,
            env=watched(os.environ, identity.state_dir, fault=fault),
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode

    steps = 0
    while True:
        before = register.read_text()
        identity.wish_for_rotation()
        steps += 1
        code = run(steps)
        # Whoever looks after the kill either signs with a key that the cloud knows,
        # or has the key on its disk that makes it known again.
        known = register.read_text()
        assert known == key_of(identity) or identity.next_key_file.exists()
        run(0)
        assert register.read_text() == key_of(identity)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if not identity.wish_file.exists():
            assert register.read_text() != before
    assert steps > 8
