"""ID tokens as Google signs them: RS256, with Google's claims.

Source: RFC 7515, RFC 7517, RFC 7519;
cloud.google.com/docs/authentication/token-types, "ID tokens"
"""

import base64
import hashlib
import json
import os
import time
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TOKEN_LIFETIME_S = 3600
KEY_BITS = 2048


class Issuer:
    """Signs tokens under one name, with one key.

    Attributes:
        url: The `iss` of its tokens.
    """

    def __init__(self, key: rsa.RSAPrivateKey, url: str) -> None:
        """Sign with `key` as `url`."""
        self.url = url
        self._key = key
        numbers = key.public_key().public_numbers()
        self._modulus = _base64(_big_endian(numbers.n))
        self._exponent = _base64(_big_endian(numbers.e))
        self._key_id = hashlib.sha256(self._modulus.encode()).hexdigest()[:40]

    def jwks(self) -> dict[str, object]:
        """Return the public key, as a JSON Web Key Set."""
        return {
            "keys": [
                {
                    "alg": "RS256",
                    "e": self._exponent,
                    "kid": self._key_id,
                    "kty": "RSA",
                    "n": self._modulus,
                    "use": "sig",
                }
            ]
        }

    def id_token(self, *, email: str, audience: str) -> str:
        """Return a token that says who calls whom, good for an hour."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "azp": subject_of(email),
            "email": email,
            "email_verified": True,
            "exp": now + TOKEN_LIFETIME_S,
            "iat": now,
            "iss": self.url,
            "sub": subject_of(email),
        }
        header = {"alg": "RS256", "kid": self._key_id, "typ": "JWT"}
        signed = ".".join(
            _base64(json.dumps(part).encode()) for part in (header, claims)
        )
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"


def subject_of(name: str) -> str:
    """Return a number of 21 digits for a name, always the same, as Google gives."""
    return str(int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10**20 + 10**20)


def load_or_make_key(path: Path) -> rsa.RSAPrivateKey:
    """Return the key in `path`; the first time, make it and keep it there.

    Raises:
        OSError: The folder cannot be written.
        ValueError: `path` holds something else.
    """
    if not path.exists():
        _save(path, rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path}: expected an RSA key, got {type(key).__name__}")  # noqa: TRY004
    return key


def _save(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write beside the target, to the disk, then rename: whole or not at all."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with os.fdopen(
        os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
    ) as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
