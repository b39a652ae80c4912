"""Keys by URI: where a private key is, and what its public half says.

`file2:/keys/root-1.pem` is a PKCS#8 file, `gcpkms:projects/.../cryptoKeyVersions/1`
a key in Cloud KMS, which never leaves it. Both the operator's command and the
functions sign through here. securesystemslib has a signer for Cloud KMS; it makes
its client without options, so ours takes the endpoint. Google's library is
imported at the first such URI: who has files only needs none of it.

Source: securesystemslib, "Signer API"; Cloud KMS API v1, `asymmetricSign`
"""

import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from packhorse.errors import MalformedError

KMS_ENDPOINT = "https://cloudkms.googleapis.com"
KMS_TIMEOUT_S = 20.0
"""One signature takes tens of milliseconds; a hardware key a second."""
KEY_MAX_BYTES = 16_384
"""A PEM file of a P-256 key has 250 bytes."""
P256 = "ecdsa-sha2-nistp256"

NAME_FIELD = "x-packhorse-name"
"""What people call a key; it stands beside the key in metadata and means nothing."""

_NAME_MAX = 60
_KMS_SCHEME = "gcpkms:"
_FILE_SCHEME = "file2:"
_KMS_VERSION = re.compile(
    r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/([^/\s]+)"
    r"/cryptoKeyVersions/([0-9]+)"
)


class _Signed(Protocol):
    signature: bytes


class _Pem(Protocol):
    pem: str


class KmsClient(Protocol):
    """What we ask of `google.cloud.kms.KeyManagementServiceClient`."""

    def asymmetric_sign(
        self, *, request: Mapping[str, object], timeout: float, retry: None
    ) -> _Signed:
        """Sign a digest."""

    def get_public_key(
        self, *, request: Mapping[str, object], timeout: float, retry: None
    ) -> _Pem:
        """Return the public half."""


class KmsSigner(Signer):
    """Signs with a P-256 key version in Cloud KMS.

    KMS's checksums are left alone: whoever signs verifies the signature with the
    public key before it is used, which finds a flipped bit and a wrong key alike.
    """

    def __init__(self, client: KmsClient, name: str, public_key: Key) -> None:
        """Sign with the key version `name`, as the owner of `public_key`."""
        self._client = client
        self._name = name
        self._public_key = public_key

    @property
    def public_key(self) -> Key:
        """The key that verifies what this signs."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> "KmsSigner":
        """Open a key at Google's own endpoint."""
        del secrets_handler
        signer = Signers().open(priv_key_uri, public_key)
        if not isinstance(signer, cls):
            raise MalformedError(f"expected a {_KMS_SCHEME} URI")
        return signer

    def sign(self, payload: bytes) -> Signature:
        """Sign the SHA-256 of `payload`; DER, as TUF wants it."""
        digest = hashlib.sha256(payload).digest()
        reply = self._client.asymmetric_sign(
            request={"name": self._name, "digest": {"sha256": digest}},
            timeout=KMS_TIMEOUT_S,
            retry=None,
        )
        return Signature(self._public_key.keyid, reply.signature.hex())


@dataclass(slots=True)
class Signers:
    """Opens keys by URI. One per process: it keeps Cloud KMS's connection.

    Attributes:
        kms_endpoint: Where Cloud KMS answers, as a URL.
    """

    kms_endpoint: str = KMS_ENDPOINT
    _client: KmsClient | None = field(default=None, init=False)

    def open(self, uri: str, public_key: Key) -> Signer:
        """Return a signer for a key whose public half is known.

        Raises:
            OSError, ValueError, securesystemslib.exceptions.Error: It cannot be had.
        """
        if uri.startswith(_KMS_SCHEME):
            return KmsSigner(self._kms(), _kms_name(uri), public_key)
        return Signer.from_priv_key_uri(uri, public_key)

    def public_key(self, uri: str) -> SSlibKey:
        """Return the public half of a key, called after the URI.

        Args:
            uri: Of a private key, or the path of a public key's PEM file.

        Raises:
            MalformedError: It names no P-256 key.
            OSError: The file cannot be read.
        """
        if uri.startswith(_KMS_SCHEME):
            request = {"name": _kms_name(uri)}
            reply = self._kms().get_public_key(
                request=request, timeout=KMS_TIMEOUT_S, retry=None
            )
            return _key_of_pem(reply.pem.encode(), name=_short_kms_name(uri))
        path = Path(uri.removeprefix(_FILE_SCHEME))
        name = path.name.removesuffix(".pub").removesuffix(".pem")
        return _key_of_pem(_read(path), name=name)

    def _kms(self) -> KmsClient:
        if self._client is None:
            self._client = _connect(self.kms_endpoint)
        return self._client


def key_name(key: Key) -> str:
    """Return what people call a key, and the first digits of its id."""
    name = key.unrecognized_fields.get(NAME_FIELD)
    short = key.keyid[:8]
    return f"{name[:_NAME_MAX]} ({short})" if isinstance(name, str) and name else short


def name_key(key: Key, name: str) -> None:
    """Write beside a key what people call it."""
    key.unrecognized_fields[NAME_FIELD] = name


def public_pem(key: Key) -> bytes:
    """Return a public key as the content of a PEM file."""
    return public_text(key).encode()


def public_text(key: Key) -> str:
    """Return what of a key verifies signatures; a key without it is like no other."""
    return str(key.keyval.get("public", f"no public key: {key.keyid}"))


def is_same_key(one: Key, other: Key) -> bool:
    """Say whether two keys verify the same signatures, whatever they are called."""
    is_same_text = public_text(one).strip() == public_text(other).strip()
    return bool(one.scheme == other.scheme and is_same_text)


def has_own_id(key: Key) -> bool:
    """Say whether a key's id is the digest of the key.

    Only then is it a fingerprint: TUF lets whoever writes a file choose any id.
    """
    try:
        return bool(_key_of_pem(public_pem(key), name=key.keyid).keyid == key.keyid)
    except MalformedError:
        return False


def kms_errors() -> tuple[type[Exception], ...]:
    """Return what Google's library raises when Cloud KMS does not do its part."""
    try:
        api = importlib.import_module("google.api_core.exceptions")
        auth = importlib.import_module("google.auth.exceptions")
        web = importlib.import_module("requests")
    except ImportError:
        return ()
    return (api.GoogleAPIError, auth.GoogleAuthError, web.RequestException)


def _key_of_pem(pem: bytes, *, name: str) -> SSlibKey:
    try:
        public = (
            load_pem_public_key(pem)
            if b"PUBLIC KEY" in pem
            else load_pem_private_key(pem, None).public_key()
        )
        key = SSlibKey.from_crypto(public)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedError(
            f"{name} holds no P-256 key as PEM, unencrypted"
        ) from error
    if key.scheme != P256:
        raise MalformedError(f"{name} must be a P-256 key; it is {key.scheme}")
    name_key(key, name)
    return key


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(KEY_MAX_BYTES)


def _kms_name(uri: str) -> str:
    name = uri.removeprefix(_KMS_SCHEME)
    if not _KMS_VERSION.fullmatch(name):
        raise MalformedError(
            f"a key in Cloud KMS is written as {_KMS_SCHEME}projects/P/locations/L/"
            "keyRings/R/cryptoKeys/K/cryptoKeyVersions/1"
        )
    return name


def _short_kms_name(uri: str) -> str:
    match = _KMS_VERSION.fullmatch(_kms_name(uri))
    return f"{match[1]}/{match[2]}" if match else ""


def _connect(endpoint: str) -> KmsClient:
    """Make Google's client; a token is a secret and goes over TLS, or not at all."""
    kms = _import("google.cloud.kms")
    credentials = _import("google.auth.credentials")
    options = {"api_endpoint": endpoint}
    tokens = {}
    if not endpoint.startswith("https://"):
        tokens["credentials"] = credentials.AnonymousCredentials()
    client: KmsClient = kms.KeyManagementServiceClient(
        client_options=options, transport="rest", **tokens
    )
    return client


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnsupportedLibraryError(
            "gcpkms: keys need Google's library: pip install google-cloud-kms"
        ) from error
