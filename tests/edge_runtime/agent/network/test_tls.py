"""A gateway in 1970 reaches its servers, and nobody whose time is known to be over.

OpenSSL goes by this machine's clock, which is right; `Clock` is told another time.
Certificates are good in years that OpenSSL would refuse.
"""

import socket
import ssl
from datetime import UTC, datetime

import pytest

from edge_runtime.agent.clock import OLDEST_BUILD, Clock
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.tls import NO_CHECK_TIME, TlsContext
from edge_runtime.agent.network.web import Web, open_pool
from edge_runtime.errors import SettingsError
from tests.edge_runtime.agent.receiver import Receiver
from tests.edge_runtime.certificates import make_authority

BOOT = datetime(1970, 1, 2, tzinfo=UTC)
LONG = {
    "begins": datetime(1960, 1, 1, tzinfo=UTC),
    "ends": datetime(2150, 1, 1, tzinfo=UTC),
}


def year(number):
    """Return the times of a certificate that is good in that year."""
    begins, ends = (datetime(n, 1, 1, tzinfo=UTC) for n in (number, number + 1))
    return {"begins": begins, "ends": ends}


class Machine:
    """A clock to be set."""

    def __init__(self, state_dir):
        self.now, self.is_synchronised = BOOT, False
        self.clock = Clock(
            state_dir,
            wall_time=lambda: self.now,
            is_synchronised=lambda: self.is_synchronised,
            built_at=lambda: OLDEST_BUILD,
        )


@pytest.fixture
def machine(state_dir):
    return Machine(state_dir)


@pytest.fixture
def authority(tmp_path):
    return make_authority(tmp_path, **LONG)


@pytest.fixture
def start():
    receivers = []

    def start(tls):
        receivers.append(Receiver(tls))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.stop()


@pytest.fixture
def ask(machine, authority):
    """Return a function that sends something; without a clock, something lasting."""

    def ask(receiver, *, ca_file=authority.path, clock=machine.clock):
        web = Web(pool=open_pool(TlsContext(ca_file, clock)))
        try:
            return web.post(receiver.url, b"{}")[0]
        finally:
            web.pool.clear()

    return ask


@pytest.mark.parametrize("number", [2090, OLDEST_BUILD.year])
def test_a_certificate_that_may_be_good_is_taken_while_the_clock_is_wrong(
    start, ask, authority, number, capsys
):
    receiver = start(authority.serve(**year(number)))

    assert ask(receiver) == 202
    assert '"event":"certificate_not_yet_valid"' in capsys.readouterr().out


def test_a_certificate_that_ended_before_the_floor_is_refused_unasked(
    start, ask, authority, machine
):
    receiver = start(authority.serve(**year(2089)))
    machine.clock.note(datetime(2090, 1, 2, tzinfo=UTC))

    with pytest.raises(UnavailableError, match="certificate ended at 2090-01-01"):
        ask(receiver)
    assert receiver.bodies == []


def test_an_authority_that_ended_before_the_floor_vouches_for_nobody(
    start, ask, machine, tmp_path
):
    authority = make_authority(tmp_path, **year(2089))
    receiver = start(authority.serve(**year(2091)))
    machine.clock.note(datetime(2090, 1, 2, tzinfo=UTC))

    with pytest.raises(UnavailableError, match="certificate ended at 2090-01-01"):
        ask(receiver)


def test_a_wrong_clock_opens_no_door_to_another_host(start, ask, authority):
    receiver = start(authority.serve("127.0.0.2", **year(2090)))

    with pytest.raises(UnavailableError, match="not trusted: IP address mismatch"):
        ask(receiver)


def test_a_wrong_clock_opens_no_door_to_another_authority(
    start, ask, authority, tmp_path
):
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other", **LONG)
    receiver = start(other.serve(**year(2090)))

    with pytest.raises(UnavailableError, match="not trusted: certificate signature"):
        ask(receiver)


def test_what_leaves_a_lasting_trace_waits_for_the_time(start, ask, authority):
    receiver = start(authority.serve(**year(2090)))

    with pytest.raises(UnavailableError, match="not trusted: certificate is not yet"):
        ask(receiver, clock=None)
    assert receiver.bodies == []


def test_a_clock_that_is_sure_judges_as_openssl_does(start, ask, authority, machine):
    receiver = start(authority.serve(**year(2090)))
    machine.now, machine.is_synchronised = datetime.now(UTC), True

    with pytest.raises(UnavailableError, match="not trusted: certificate is not yet"):
        ask(receiver)


def test_a_clock_that_was_kept_while_the_power_was_off_is_behind_too(
    start, ask, authority, machine
):
    """It runs on from when it stopped: after the floor, and before the truth."""
    receiver = start(authority.serve(**year(2090)))
    machine.now = datetime(2089, 12, 1, tzinfo=UTC)
    machine.clock.note(datetime(2089, 11, 30, tzinfo=UTC))

    assert not machine.clock.is_wrong
    assert ask(receiver) == 202


def test_a_floor_pushed_ahead_by_a_stolen_key_does_not_shut_out_its_owner(
    start, ask, authority, machine
):
    receiver = start(authority.serve())
    machine.now = datetime.now(UTC)
    machine.clock.note(datetime(2140, 1, 1, tzinfo=UTC))

    assert ask(receiver) == 202


def test_a_clock_set_right_ends_the_leniency(authority, machine):
    context = TlsContext(authority.path, machine.clock)
    kept = context.verify_flags
    ours, theirs = socket.socketpair()
    with (
        theirs,
        context.wrap_socket(
            ours, server_hostname="127.0.0.1", do_handshake_on_connect=False
        ),
    ):
        assert context.verify_flags == kept
    assert not context.verify_flags & NO_CHECK_TIME
    assert context.sslsocket_class is ssl.SSLSocket


def test_a_handshake_that_breaks_off_leaves_no_connection_open(authority, machine):
    context = TlsContext(authority.path, machine.clock)
    ours, theirs = socket.socketpair()
    theirs.close()

    with pytest.raises(OSError, match=r"EOF|reset|pipe"):
        context.wrap_socket(ours, server_hostname="127.0.0.1")


def test_the_authorities_of_this_machine_are_trusted_unless_others_are_named(
    start, ask, authority, monkeypatch, tmp_path
):
    receiver = start(authority.serve())
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other")

    assert ask(receiver, ca_file=None, clock=None) == 202
    with pytest.raises(UnavailableError, match="not trusted: certificate signature"):
        ask(receiver, ca_file=other.path, clock=None)


def test_a_file_without_certificates_is_named(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")

    with pytest.raises(SettingsError, match=str(path)):
        TlsContext(path)
