"""A real MQTT 5 broker with client certificates, for any test that wants one.

    with running_mosquitto(tmp_path) as broker:
        certificate, key = broker.make_client("gateway-1")
        # mqtts://127.0.0.1:PORT, CA in broker.ca_file

Every client must show a certificate; its common name is its user name. A
device may read its own ring's and its own topics and write only its own;
`cloud` may read and write everything.
"""

import contextlib
import datetime as dt
import ipaddress
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_cloud.ports import free_port

CLOUD = "cloud"
"""The user that publishes notices."""

READY_TIMEOUT_S = 15.0

_ACL = f"""\
pattern read devices/%u/#
pattern write devices/%u/#
pattern read packhorse/#

user {CLOUD}
topic readwrite #
"""


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str = "tests") -> "Authority":
        """Make a new authority that signed itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        basics = x509.BasicConstraints(ca=True, path_length=0)
        builder = _builder(name, name, key).add_extension(basics, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(self, folder: Path, name: str, *, is_server: bool) -> tuple[Path, Path]:
        """Write a certificate and its key for `name`; return their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        builder = _builder(name, str(issuer[0].value), key)
        purposes = ExtendedKeyUsageOID
        purpose = purposes.SERVER_AUTH if is_server else purposes.CLIENT_AUTH
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = (
            builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
        )
        certificate = builder.sign(self.key, hashes.SHA256())
        certificate_file = folder / f"{name}.crt"
        certificate_file.write_bytes(_pem(certificate))
        return certificate_file, _write_key(folder / f"{name}.key", key)


@dataclass(frozen=True)
class Mosquitto:
    """A running broker and what its clients need."""

    port: int
    folder: Path
    authority: Authority

    @property
    def url(self) -> str:
        """Return the broker's URL."""
        return f"mqtts://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """Return the file of the authority that signed the broker."""
        return self.folder / "ca.crt"

    def make_client(self, name: str) -> tuple[Path, Path]:
        """Return files of a certificate and key for a client of this name."""
        return self.authority.issue(self.folder, name, is_server=False)


@contextlib.contextmanager
def running_mosquitto(folder: Path, *, acl: str = _ACL) -> Iterator[Mosquitto]:
    """Run mosquitto with MQTT 5 over TLS until the block ends.

    Args:
        folder: Where to keep its files; a test's `tmp_path`.
        acl: Mosquitto's own access list; %u is the certificate's common name.
    """
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if binary is None:
        pytest.skip("mosquitto is missing: apt-get install mosquitto")
    folder = folder / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(free_port(), folder, Authority.make())
    config = _write_files(broker, acl)
    process = subprocess.Popen(
        [binary, "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(broker, process)
        yield broker
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=READY_TIMEOUT_S)


def _write_files(broker: Mosquitto, acl: str) -> Path:
    folder = broker.folder
    broker.ca_file.write_bytes(_pem(broker.authority.certificate))
    broker.authority.issue(folder, "broker", is_server=True)
    (folder / "acl").write_text(acl)
    config = folder / "mosquitto.conf"
    config.write_text(f"""\
listener {broker.port} 127.0.0.1
cafile {broker.ca_file}
certfile {folder}/broker.crt
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
persistence false
user root
""")
    return config


def _wait_until_ready(broker: Mosquitto, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        assert process.poll() is None, "mosquitto ended by itself"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", broker.port), timeout=5).close()
            return
        assert time.monotonic() < deadline, "mosquitto does not answer"
        time.sleep(0.02)


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path
