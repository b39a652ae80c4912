"""A device whose key cannot be read follows its rollout, and reports later."""

import json
from dataclasses import replace

import pytest

from edge_runtime.agent.errors import AgentError, KeyLostError
from edge_runtime.agent.identity.enroll import load_identity
from edge_runtime.agent.identity.rotation import ask_for_key
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.report import News
from packhorse.device_key import public_pem, verify_envelope
from packhorse.report import DeviceState, open_envelope
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.agent.gateway import wait_until
from tests.edge_runtime.agent.test_agent import run, serve_first, with_candidate
from tests.edge_runtime.agent.test_loop import environment, publish, running_agent
from tests.edge_runtime.test_main import run as command

__all__ = ["environment", "publish"]

NEWS = News(DeviceState.SERVING, release(1))


def garble(path):
    path.write_bytes(path.read_bytes()[:50] + b"?" * 50)


def empty(path):
    path.write_bytes(b"")


def hide(path):
    path.unlink()
    path.mkdir()


def lose(path):
    path.unlink()


def dangle(path):
    path.unlink()
    path.symlink_to("/nowhere/device.key")


DAMAGES = [garble, empty, hide, lose, dangle]


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
def lost(request, state_dir, identity):
    """Damage the key of an enrolled device; return the key that it was."""
    (state_dir / "enrolled.json").write_bytes(
        b'{"device": "gateway-1", "ring": 0,'
        b' "enrolled_at": "2026-01-02T03:04:05+00:00"}'
    )
    key = identity.key_pem
    request.param(identity.key_file)
    return key


def found(path):
    """Return what is at a path: its kind, and what it holds."""
    if path.is_symlink():
        return "link", path.readlink()
    return ("file", path.read_bytes()) if path.is_file() else ("none", path.is_dir())


def test_no_key_is_made_in_the_place_of_one_that_may_come_back(state_dir, lost):
    before = found(state_dir / "device.key")
    again = load_identity(state_dir, "gateway-1")
    assert found(state_dir / "device.key") == before
    assert "invite it anew" in again.trouble
    with pytest.raises(KeyLostError, match=r"device\.key cannot be used"):
        again.sign(b"")


def test_it_follows_installs_and_withdraws_and_says_so(
    agent, gateway, cloud, lost, state_dir, capsys
):
    before = found(state_dir / "device.key")
    document = with_candidate(serve_first(agent, cloud), cloud.offer(2))
    cloud.publish(document)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    cloud.publish(
        replace(
            document,
            sequence=3,
            withdrawn=(release(2),),
            candidate=None,
            rollout_id="",
            shares={},
        )
    )
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@1"

    assert found(state_dir / "device.key") == before
    assert "key_failed" in capsys.readouterr().out
    assert "its key cannot be used" in agent.sentence()
    status = command("status", PACKHORSE_STATE_DIR=str(state_dir)).stdout
    assert "key     " in status
    assert "invite it anew" in status
    document = command("status", "--json", PACKHORSE_STATE_DIR=str(state_dir)).stdout
    assert "cannot be used" in json.loads(document)["agent"]["key_trouble"]


def test_reports_wait_for_the_key_and_are_signed_with_it(
    agent, spool, lost, state_dir, receiver, identity
):
    agent.step()
    spool.add(NEWS)
    with pytest.raises(KeyLostError):
        spool.send(Web(), receiver.url)
    assert not receiver.bodies

    key_file = state_dir / "device.key"
    if key_file.is_dir():
        key_file.rmdir()
    key_file.unlink(missing_ok=True)
    key_file.write_bytes(lost)
    agent.step()
    spool.send(Web(), receiver.url)

    assert not spool.waiting()
    for body in receiver.bodies:
        verify_envelope(open_envelope(body), public_pem(lost))
    assert "cannot be used" not in agent.sentence()


def test_a_key_that_cannot_vouch_is_not_asked_for_another(state_dir, lost):
    with pytest.raises(AgentError, match=r"cannot be used|came none"):
        ask_for_key(state_dir)
    assert not (state_dir / "device.key.wanted").exists()


def test_the_agents_process_goes_on(
    environment, gateway, publish, receiver, state_dir, tmp_path, identity
):
    garble(identity.key_file)
    publish(1)
    log = tmp_path / "agent.log"
    with running_agent(environment, log) as process:
        wait_until(
            lambda: (
                "key_failed" in log.read_text()
                and "report_failed" in log.read_text()
                and gateway.infer(1, 2, 3)[1] == "magika@1"
            ),
            "it follows, and says what is wrong",
        )
        publish(2)
        wait_until(lambda: gateway.infer(1, 2, 3)[1] == "magika@2", "it goes on")
        assert process.poll() is None
    assert not receiver.bodies
