"""Make a small certificate authority, as `openssl` would, for tests of TLS."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)
PLAIN = serialization.NoEncryption()


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(path, certificate):
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


@dataclass
class Authority:
    """Vouches for servers and clients."""

    directory: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    path: Path

    def issue(self, subject, *, password=None, file_name="leaf", **times):
        """Issue a certificate for an address or a client; return its two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(subject, key.public_key(), **times)
        encryption = (
            serialization.BestAvailableEncryption(password) if password else PLAIN
        )
        key_path = self.directory / f"{file_name}.key"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                encryption,
            )
        )
        return _pem(self.directory / f"{file_name}.pem", certificate), key_path

    def serve(self, subject="127.0.0.1", **times):
        """Return what a server speaks TLS with, under a new certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(subject, file_name="server", **times))
        return context

    def sign(self, subject, public_key, *, is_authority=False, begins=None, ends=None):
        """Sign a certificate that is good for a day around now, unless told."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - DAY)
            .not_valid_after(ends or now + DAY)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(_alternative(subject), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _alternative(subject):
    try:
        name = x509.IPAddress(ipaddress.ip_address(subject))
    except ValueError:
        name = x509.DNSName(subject)
    return x509.SubjectAlternativeName([name])


def make_authority(directory, name="authority", **times):
    """Make an authority whose certificate lies in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority(directory, name, key, directory / f"{name}.pem")
    certificate = authority.sign(name, key.public_key(), is_authority=True, **times)
    _pem(authority.path, certificate)
    return authority


def speak_tls(server, tls):
    """Have an HTTP server speak TLS; each handshake is its own thread's business."""
    server.socket = tls.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
