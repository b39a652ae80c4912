"""Key rings, keys and versions, as Cloud KMS shows them.

Only what signs: purpose ASYMMETRIC_SIGN, P-256 with SHA-256. A version is a key
pair that never leaves here; rotation of such a key is a new version, and who uses
it names it. Versions are disabled, enabled, destroyed and restored.

Source: google/cloud/kms/v1/resources.proto
"""

import re

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from local_cloud.documents import Document, Transaction, as_document
from local_cloud.google_http import ApiError, timestamp_now

ALGORITHM = "EC_SIGN_P256_SHA256"
PURPOSE = "ASYMMETRIC_SIGN"
DIGEST_BYTES = 32

RING = "ring"
KEY = "key"
VERSION = "version"
_PRIVATE = "private"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")


def create_ring(work: Transaction, parent: str, ring_id: str) -> Document:
    """Make a key ring; it can never be removed, as at Google."""
    name = f"{parent}/keyRings/{_check_id(ring_id)}"
    _refuse_second(work, RING, name)
    ring: Document = {"name": name, "createTime": timestamp_now()}
    work.put(RING, name, ring)
    return ring


def create_key(work: Transaction, parent: str, key_id: str, body: Document) -> Document:
    """Make a signing key with its first version."""
    read(work, RING, parent)
    name = f"{parent}/cryptoKeys/{_check_id(key_id)}"
    _refuse_second(work, KEY, name)
    template = as_document(body.get("versionTemplate") or {})
    _only(body.get("purpose"), PURPOSE, 5, "purpose")
    _only(template.get("algorithm"), ALGORITHM, 12, "versionTemplate.algorithm")
    key: Document = {
        "name": name,
        "createTime": timestamp_now(),
        "purpose": PURPOSE,
        "versionTemplate": {"algorithm": ALGORITHM, "protectionLevel": "SOFTWARE"},
        "labels": body.get("labels") or {},
    }
    work.put(KEY, name, key)
    create_version(work, name)
    return key


def create_version(work: Transaction, parent: str) -> Document:
    """Make a new key pair, the next version of a key."""
    read(work, KEY, parent)
    number = work.next_number(parent, first=1)
    name = f"{parent}/cryptoKeyVersions/{number}"
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    work.put(_PRIVATE, name, {"pem": private.decode()})
    version: Document = {
        "name": name,
        "state": "ENABLED",
        "protectionLevel": "SOFTWARE",
        "algorithm": ALGORITHM,
        "createTime": timestamp_now(),
        "generateTime": timestamp_now(),
    }
    work.put(VERSION, name, version)
    return version


def read(work: Transaction, kind: str, name: str) -> Document:
    """Return one ring, key or version."""
    found = work.get(kind, name)
    if found is None:
        raise ApiError("NOT_FOUND", f"{name} not found.")
    return found


def list_under(work: Transaction, kind: str, parent: str) -> list[Document]:
    """Return the rings, keys or versions directly under `parent`."""
    found = [each for each in work.all(kind) if _parent(each) == parent]
    return sorted(found, key=lambda each: _natural(str(each["name"])))


def set_state(work: Transaction, name: str, state: str) -> Document:
    """Enable, disable, destroy or restore a version."""
    version = read(work, VERSION, name)
    allowed = {
        "ENABLED": {"ENABLED", "DISABLED"},
        "DISABLED": {"ENABLED", "DISABLED", "DESTROY_SCHEDULED"},
        "DESTROY_SCHEDULED": {"ENABLED", "DISABLED"},
    }
    if version["state"] not in allowed.get(state, set()):
        raise ApiError("FAILED_PRECONDITION", f"{name} is {version['state']}.")
    changed = {**version, "state": state}
    work.put(VERSION, name, changed)
    return changed


def public_pem(work: Transaction, name: str) -> str:
    """Return the public half of an enabled version, as PEM."""
    private = _enabled_key(work, name)
    encoded = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()


def sign(work: Transaction, name: str, digest: bytes) -> bytes:
    """Sign a SHA-256 digest with an enabled version; DER."""
    if len(digest) != DIGEST_BYTES:
        sentence = f"expected a SHA-256 of {DIGEST_BYTES} bytes, {len(digest)} came"
        raise ApiError("INVALID_ARGUMENT", sentence)
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    return _enabled_key(work, name).sign(digest, algorithm)


def _enabled_key(work: Transaction, name: str) -> ec.EllipticCurvePrivateKey:
    version = read(work, VERSION, name)
    if version["state"] != "ENABLED":
        sentence = f"{name} is not enabled, current state is: {version['state']}."
        raise ApiError("FAILED_PRECONDITION", sentence)
    pem = str(read(work, _PRIVATE, name)["pem"]).encode()
    private = serialization.load_pem_private_key(pem, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"expected a P-256 key in the store, {private!r} is there")
    return private


def _only(value: object, name: str, number: int, field: str) -> None:
    """Refuse what this stand-in does not do; clients send names or numbers."""
    if value not in (name, number):
        raise ApiError(
            "INVALID_ARGUMENT", f"{field}: this stand-in knows {name} only: {value!r}"
        )


def _refuse_second(work: Transaction, kind: str, name: str) -> None:
    if work.get(kind, name) is not None:
        raise ApiError("ALREADY_EXISTS", f"{name} already exists.")


def _check_id(name: str) -> str:
    if not _ID.fullmatch(name):
        raise ApiError("INVALID_ARGUMENT", f"an id must match {_ID.pattern}: {name!r}")
    return name


def _parent(document: Document) -> str:
    return str(document["name"]).rsplit("/", 2)[0]


def _natural(name: str) -> tuple[str, int]:
    head, _, last = name.rpartition("/")
    return (head, int(last)) if last.isdigit() else (name, 0)
