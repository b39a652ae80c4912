"""Keys by URI: files, and Cloud KMS's stand-in behind Google's own client."""

import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.exceptions import UnsupportedLibraryError

from packhorse.errors import MalformedError
from packhorse.signers import (
    KmsSigner,
    Signers,
    is_same_key,
    key_name,
    kms_errors,
    public_pem,
)
from tests.kms import RING, KmsStandIn

NOBODY = "http://127.0.0.1:1"
VERSION = f"gcpkms:{RING}/cryptoKeys/k/cryptoKeyVersions/1"


@pytest.fixture(scope="module")
def cloud_kms(tmp_path_factory):
    found = KmsStandIn(tmp_path_factory.mktemp("kms"))
    yield found
    found.stop()


@pytest.fixture
def signers(cloud_kms):
    return Signers(cloud_kms.url)


def write_key(path, private=None, password=None):
    private = private or ec.generate_private_key(ec.SECP256R1())
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
        )
    )
    return f"file2:{path}"


def test_a_key_in_a_file_signs(tmp_path):
    uri = write_key(tmp_path / "anna.pem")
    key = Signers().public_key(uri)
    signature = Signers().open(uri, key).sign(b"payload")

    key.verify_signature(signature, b"payload")
    assert key_name(key) == f"anna ({key.keyid[:8]})"


def test_a_key_in_cloud_kms_signs(signers, cloud_kms):
    uri = cloud_kms.make_uri("one")
    key = signers.public_key(uri)
    signature = signers.open(uri, key).sign(b"payload")

    key.verify_signature(signature, b"payload")
    assert key_name(key).startswith("one/1 (")
    assert isinstance(signers.open(uri, key), KmsSigner)


def test_a_public_half_that_travelled_is_the_same_key(signers, cloud_kms, tmp_path):
    uri = cloud_kms.make_uri("two")
    key = signers.public_key(uri)
    (tmp_path / "two.pub").write_bytes(public_pem(key))
    travelled = Signers(NOBODY).public_key(str(tmp_path / "two.pub"))

    assert is_same_key(key, travelled)
    assert travelled.keyid == key.keyid
    assert key_name(travelled).startswith("two (")


def test_cloud_kms_that_is_away_raises_what_google_s_library_does():
    with pytest.raises(kms_errors()):
        Signers(NOBODY).public_key(VERSION)


@pytest.mark.parametrize(
    "uri", ["gcpkms:", "gcpkms:key", f"gcpkms:{RING}/cryptoKeys/k", f"{VERSION}/x"]
)
def test_what_names_no_version_of_a_key_is_refused(uri):
    with pytest.raises(MalformedError, match="cryptoKeyVersions/1"):
        Signers(NOBODY).public_key(uri)


def test_only_p256_is_a_key(tmp_path):
    for name, private in (
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("p384", ec.generate_private_key(ec.SECP384R1())),
    ):
        uri = write_key(tmp_path / f"{name}.pem", private)
        with pytest.raises(MalformedError, match=f"{name} must be a P-256 key"):
            Signers().public_key(uri)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff" * 100_000])
def test_a_file_that_holds_no_key_is_refused(tmp_path, body):
    (tmp_path / "x.pem").write_bytes(body)
    with pytest.raises(MalformedError, match="x holds no P-256 key"):
        Signers().public_key(f"file2:{tmp_path}/x.pem")


def test_a_key_file_with_a_password_is_refused(tmp_path):
    uri = write_key(tmp_path / "x.pem", password=b"secret")
    with pytest.raises(MalformedError, match="unencrypted"):
        Signers().public_key(uri)


def test_without_google_s_library_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.kms", None)
    with pytest.raises(UnsupportedLibraryError, match="pip install google-cloud-kms"):
        Signers().public_key(VERSION)


def test_without_google_s_library_files_go_on(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "google.api_core.exceptions", None)
    assert kms_errors() == ()
    assert Signers().public_key(write_key(tmp_path / "x.pem"))
