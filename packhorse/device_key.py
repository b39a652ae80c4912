"""A device's own key: P-256, made on the device, never leaving it.

Source: docs/protocol.md, 6 "The envelope"; FIPS 186-5, ECDSA
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from packhorse.errors import MalformedError, UntrustedError
from packhorse.report import Envelope

PUBLIC_PEM_MAX = 1000
"""Characters; a P-256 public key has 178."""


def generate_key_pem() -> bytes:
    """Make a new private key, PKCS #8 in PEM, not encrypted."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(private_pem: bytes) -> str:
    """Return the public half of a private key, as PEM."""
    public = _load_private(private_pem).public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def check_public_pem(pem: str) -> str:
    """Return `pem` when it is a P-256 public key.

    Raises:
        MalformedError: It is none.
    """
    _load_public(pem)
    return pem


def sign(private_pem: bytes, message: bytes) -> bytes:
    """Sign `message`; the signature is in DER."""
    return _load_private(private_pem).sign(message, ec.ECDSA(hashes.SHA256()))


def verify_envelope(
    envelope: Envelope, public_pem: str, *, purpose: str = "report"
) -> None:
    """Check that the device signed the envelope for this purpose.

    Raises:
        UntrustedError: It did not.
    """
    try:
        _load_public(public_pem).verify(
            envelope.signature,
            envelope.signed_bytes(purpose),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature as error:
        raise UntrustedError(
            f"the envelope must be signed with the key of {envelope.device}"
        ) from error


def _load_private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedError("the device key must be an unencrypted PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedError("the device key must be a P-256 key")
    return key


def _load_public(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem[:PUBLIC_PEM_MAX].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("a public key must be PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
        key.curve, ec.SECP256R1
    ):
        raise MalformedError("a public key must be of the curve P-256")
    return key
