"""Keys are named by URI, and sign for the roles that trust them only."""

from typing import ClassVar

import pytest
from google.api_core.exceptions import ServiceUnavailable
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    CryptoSigner,
    Signature,
    Signer,
)
from tuf.api.metadata import Metadata, Root, Snapshot

from functions.adapters.signing import sign
from functions.errors import SettingsError, UpstreamUnavailableError
from packhorse.signers import Signers


class RemoteSigner(Signer):
    """Signs as Cloud KMS does: which key it is, it finds out only by signing."""

    keys: ClassVar = {}
    failure = None

    def __init__(self, name, public_key):
        self._signer = self.keys[name]
        self._public_key = public_key

    @property
    def public_key(self):
        return self._public_key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri, public_key, secrets_handler=None):
        return cls(priv_key_uri.partition(":")[2], public_key)

    def sign(self, payload):
        if self.failure:
            raise self.failure
        signed = self._signer.sign(payload)
        return Signature(self._public_key.keyid, signed.signature)


@pytest.fixture
def remote(monkeypatch):
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "remote", RemoteSigner)
    monkeypatch.setattr(RemoteSigner, "keys", {})
    monkeypatch.setattr(RemoteSigner, "failure", None)
    return RemoteSigner


@pytest.fixture
def root():
    return Root()


@pytest.fixture
def metadata():
    return Metadata(Snapshot())


def trusted(root, role="snapshot"):
    signer = CryptoSigner.generate_ecdsa()
    root.add_key(signer.public_key, role)
    return signer


def test_a_key_in_a_file_signs(root, metadata, tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(trusted(root).private_bytes)
    sign(metadata, "snapshot", root, f"file2:{path}", Signers())
    root.verify_delegate("snapshot", metadata.signed_bytes, metadata.signatures)


def test_a_remote_key_is_found_among_those_of_the_role(root, metadata, remote):
    """While a key is rotated, a role trusts the old one and the new."""
    trusted(root)
    remote.keys["new"] = trusted(root)
    sign(metadata, "snapshot", root, "remote:new", Signers())

    root.verify_delegate("snapshot", metadata.signed_bytes, metadata.signatures)
    assert len(metadata.signatures) == 1


def test_a_remote_key_that_the_role_does_not_trust_signs_nothing(
    root, metadata, remote
):
    trusted(root)
    remote.keys["stranger"] = CryptoSigner.generate_ecdsa()
    with pytest.raises(SettingsError, match="none of the role's keys"):
        sign(metadata, "snapshot", root, "remote:stranger", Signers())
    assert metadata.signatures == {}


def test_a_key_service_that_is_away_asks_to_come_back(root, metadata, remote):
    remote.keys["new"] = trusted(root)
    remote.failure = ServiceUnavailable("secret text")
    with pytest.raises(UpstreamUnavailableError, match="Cloud KMS answered 503"):
        sign(metadata, "snapshot", root, "remote:new", Signers())


def test_a_role_that_wants_two_signatures_is_not_for_one_key(root, metadata):
    trusted(root)
    root.roles["snapshot"].threshold = 2
    with pytest.raises(SettingsError, match="wants 2 signatures"):
        sign(metadata, "snapshot", root, "file2:/x", Signers())


def test_what_a_key_s_failure_says_holds_no_path(root, metadata):
    trusted(root)
    with pytest.raises(SettingsError) as caught:
        sign(metadata, "snapshot", root, "file2:/secret/place.pem", Signers())
    assert "/secret" not in str(caught.value)
