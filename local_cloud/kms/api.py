"""The REST methods of Cloud KMS that this stand-in knows, and their routes.

Anything else is answered 404 with the path, as Google's front end does.

Source: the `google.api.http` options of google/cloud/kms/v1/service.proto
"""

import base64
import binascii
import re
from collections.abc import Callable

import google_crc32c

from local_cloud.documents import Document, Store, as_document
from local_cloud.google_http import ApiError, Reply, Request, find_route, json_reply
from local_cloud.kms import keys

_LOCATION = r"projects/[^/:]+/locations/[^/:]+"
_RING = rf"{_LOCATION}/keyRings/[^/:]+"
_KEY = rf"{_RING}/cryptoKeys/[^/:]+"
_VERSION = rf"{_KEY}/cryptoKeyVersions/[0-9]+"
_STATES = {
    "ENABLED": "ENABLED",
    "DISABLED": "DISABLED",
    "1": "ENABLED",
    "2": "DISABLED",
}

Method = Callable[[Request, str], object]


class Api:
    """Finds the method for a request and calls it."""

    def __init__(self, store: Store) -> None:
        """Answer from the store."""
        self._store = store
        routes: list[tuple[str, str, Method]] = [
            ("POST", rf"(?P<name>{_LOCATION})/keyRings", self._create_ring),
            ("GET", rf"(?P<name>{_LOCATION})/keyRings", self._list(keys.RING)),
            ("GET", rf"(?P<name>{_RING})", self._get(keys.RING)),
            ("POST", rf"(?P<name>{_RING})/cryptoKeys", self._create_key),
            ("GET", rf"(?P<name>{_RING})/cryptoKeys", self._list(keys.KEY)),
            ("GET", rf"(?P<name>{_KEY})", self._get(keys.KEY)),
            ("POST", rf"(?P<name>{_KEY})/cryptoKeyVersions", self._create_version),
            ("GET", rf"(?P<name>{_KEY})/cryptoKeyVersions", self._list(keys.VERSION)),
            ("GET", rf"(?P<name>{_VERSION})", self._get(keys.VERSION)),
            ("PATCH", rf"(?P<name>{_VERSION})", self._update_version),
            ("POST", rf"(?P<name>{_VERSION}):destroy", self._set("DESTROY_SCHEDULED")),
            ("POST", rf"(?P<name>{_VERSION}):restore", self._set("DISABLED")),
            ("GET", rf"(?P<name>{_VERSION})/publicKey", self._public_key),
            ("POST", rf"(?P<name>{_VERSION}):asymmetricSign", self._sign),
        ]
        self._routes = [
            (verb, re.compile(f"/v1/{pattern}"), method)
            for verb, pattern, method in routes
        ]

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        method, name = find_route(self._routes, request)
        return json_reply(method(request, name))

    def _create_ring(self, request: Request, parent: str) -> object:
        with self._store.transaction() as work:
            return keys.create_ring(work, parent, request.query.get("keyRingId", ""))

    def _create_key(self, request: Request, parent: str) -> object:
        key_id, body = request.query.get("cryptoKeyId", ""), request.json_object()
        with self._store.transaction() as work:
            return keys.create_key(work, parent, key_id, body)

    def _create_version(self, _request: Request, parent: str) -> object:
        with self._store.transaction() as work:
            return keys.create_version(work, parent)

    def _update_version(self, request: Request, name: str) -> object:
        state = _STATES.get(str(request.json_object().get("state")))
        if request.query.get("updateMask") != "state" or state is None:
            raise ApiError("INVALID_ARGUMENT", "updateMask: only `state` changes")
        with self._store.transaction() as work:
            return keys.set_state(work, name, state)

    def _public_key(self, _request: Request, name: str) -> object:
        with self._store.reading() as work:
            pem = keys.public_pem(work, name)
        return {
            "name": name,
            "pem": pem,
            "algorithm": keys.ALGORITHM,
            "pemCrc32c": _checksum(pem.encode()),
            "protectionLevel": "SOFTWARE",
            "publicKeyFormat": "PEM",
        }

    def _sign(self, request: Request, name: str) -> object:
        body = request.json_object()
        digest = _decode(as_document(body.get("digest") or {}).get("sha256"))
        sent = body.get("digestCrc32c")
        if sent is not None and str(sent) != _checksum(digest):
            raise ApiError("INVALID_ARGUMENT", "digest_crc32c is not the digest's.")
        with self._store.reading() as work:
            signature = keys.sign(work, name, digest)
        return {
            "name": name,
            "signature": base64.b64encode(signature).decode(),
            "signatureCrc32c": _checksum(signature),
            "verifiedDigestCrc32c": sent is not None,
            "protectionLevel": "SOFTWARE",
        }

    def _get(self, kind: str) -> Method:
        def method(_request: Request, name: str) -> object:
            with self._store.reading() as work:
                return keys.read(work, kind, name)

        return method

    def _set(self, state: str) -> Method:
        def method(_request: Request, name: str) -> object:
            with self._store.transaction() as work:
                return keys.set_state(work, name, state)

        return method

    def _list(self, kind: str) -> Method:
        field = {keys.RING: "keyRings", keys.KEY: "cryptoKeys"}
        named = field.get(kind, "cryptoKeyVersions")

        def method(_request: Request, parent: str) -> object:
            with self._store.reading() as work:
                found: list[Document] = keys.list_under(work, kind, parent)
            return {named: found, "totalSize": len(found)}

        return method


def _decode(text: object) -> bytes:
    # Clients send standard or URL-safe base64: JSON's mapping allows both.
    standard = str(text or "").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard, validate=True)
    except binascii.Error as error:
        raise ApiError("INVALID_ARGUMENT", "digest.sha256: expected base64") from error


def _checksum(body: bytes) -> str:
    """Return the CRC32C of `body` as JSON writes an Int64Value."""
    return str(google_crc32c.value(body))
