"""Files without a certificate are named, and new certificates are shown."""

import socket
import ssl
import threading

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.http.tls import LiveTls, tls_context
from edge_runtime.settings.access_settings import TlsSettings
from tests.edge_runtime.certificates import make_authority


@pytest.mark.parametrize("broken", ["cert_file", "key_file", "client_ca_file"])
def test_files_that_hold_no_certificate_are_named(tmp_path, broken):
    authority = make_authority(tmp_path)
    cert, key = authority.issue("127.0.0.1")
    files = {"cert_file": cert, "key_file": key, "client_ca_file": authority.path}
    files[broken] = tmp_path / "broken"
    files[broken].write_text("no certificate")
    with pytest.raises(SettingsError, match=r"PACKHORSE_TLS_.*broken"):
        tls_context(TlsSettings(**files))


def test_a_key_with_a_password_is_refused_and_nobody_asked_for_it(tmp_path):
    cert, key = make_authority(tmp_path).issue("127.0.0.1", password=b"secret")
    with pytest.raises(SettingsError, match="without a password"):
        tls_context(TlsSettings(cert, key))


def serial_shown(live, authority):
    """Return the serial number of the certificate that a client is shown."""
    ours, theirs = socket.socketpair()
    client = ssl.create_default_context(cafile=authority.path)
    client.check_hostname = False

    def serve():
        live.context.wrap_socket(ours, server_side=True).close()

    server = threading.Thread(target=serve)
    server.start()
    with client.wrap_socket(theirs) as connection:
        serial = connection.getpeercert()["serialNumber"]
    server.join()
    return serial


def test_a_renewed_certificate_is_shown_from_then_on(tmp_path):
    authority = make_authority(tmp_path)
    live = LiveTls(TlsSettings(*authority.issue("127.0.0.1")))
    first = serial_shown(live, authority)
    live.refresh()
    assert serial_shown(live, authority) == first

    authority.issue("127.0.0.1")
    live.refresh()

    assert serial_shown(live, authority) != first


def test_a_certificate_that_was_renewed_by_half_changes_nothing(tmp_path, capfdbinary):
    authority = make_authority(tmp_path)
    cert, key = authority.issue("127.0.0.1")
    live = LiveTls(TlsSettings(cert, key))
    first = serial_shown(live, authority)

    before = key.read_bytes()
    authority.issue("127.0.0.1")
    key.write_bytes(before)
    live.refresh()
    assert serial_shown(live, authority) == first

    cert.unlink()
    live.refresh()
    assert serial_shown(live, authority) == first
    assert capfdbinary.readouterr().out.count(b"certificate_refused") == 1
