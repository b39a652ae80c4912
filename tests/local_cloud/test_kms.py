"""Cloud KMS's stand-in, held to its messages by Google's own client."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.api_core import exceptions
from google.cloud import kms
from google_crc32c import value as crc32c

from tests.kms import RING, KmsStandIn

DIGEST = hashlib.sha256(b"payload").digest()
State = kms.CryptoKeyVersion.CryptoKeyVersionState


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    found = KmsStandIn(tmp_path_factory.mktemp("kms"))
    yield found
    found.stop()


@pytest.fixture
def version(stand_in, request):
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    return stand_in.make_key(name)


def sign(stand_in, version, **extra):
    request = {"name": version, "digest": {"sha256": DIGEST}, **extra}
    return stand_in.client.asymmetric_sign(request=request)


def verify(stand_in, version, signature):
    public = stand_in.client.get_public_key(request={"name": version})
    key = load_pem_public_key(public.pem.encode())
    key.verify(signature, b"payload", ec.ECDSA(hashes.SHA256()))
    return public


def test_a_signature_is_verified_by_the_public_key_of_its_version(stand_in, version):
    reply = sign(stand_in, version)

    public = verify(stand_in, version, reply.signature)
    assert public.algorithm.name == "EC_SIGN_P256_SHA256"
    assert reply.name == public.name == version


def test_checksums_say_what_came_and_what_was_sent(stand_in, version):
    reply = sign(stand_in, version, digest_crc32c=crc32c(DIGEST))

    assert reply.verified_digest_crc32c
    assert reply.signature_crc32c == crc32c(reply.signature)
    assert not sign(stand_in, version).verified_digest_crc32c
    with pytest.raises(exceptions.BadRequest):
        sign(stand_in, version, digest_crc32c=1)


def test_a_digest_of_another_length_is_refused(stand_in, version):
    request = {"name": version, "digest": {"sha256": b"short"}}
    with pytest.raises(exceptions.BadRequest, match="32 bytes"):
        stand_in.client.asymmetric_sign(request=request)


def test_a_new_version_is_another_key(stand_in, version):
    parent = version.partition("/cryptoKeyVersions/")[0]
    second = stand_in.client.create_crypto_key_version(
        request={"parent": parent, "crypto_key_version": {}}
    )

    assert second.name == f"{parent}/cryptoKeyVersions/2"
    assert second.state == State.ENABLED
    listed = stand_in.client.list_crypto_key_versions(request={"parent": parent})
    assert [each.name for each in listed] == [version, second.name]
    pems = {
        stand_in.client.get_public_key(request={"name": name}).pem
        for name in (version, second.name)
    }
    assert len(pems) == 2


def test_a_disabled_version_signs_nothing_until_it_is_enabled(stand_in, version):
    assert stand_in.disable(version).state == State.DISABLED
    with pytest.raises(exceptions.BadRequest, match="not enabled"):
        sign(stand_in, version)

    stand_in.client.update_crypto_key_version(
        request={
            "crypto_key_version": {"name": version, "state": State.ENABLED},
            "update_mask": "state",
        }
    )
    assert sign(stand_in, version).signature


def test_a_destroyed_version_can_be_restored_but_is_disabled(stand_in, version):
    request = {"name": version}
    destroyed = stand_in.client.destroy_crypto_key_version(request=request)
    assert destroyed.state == State.DESTROY_SCHEDULED
    with pytest.raises(exceptions.BadRequest):
        sign(stand_in, version)
    restored = stand_in.client.restore_crypto_key_version(request=request)
    assert restored.state == State.DISABLED


def test_what_is_not_there_is_not_found(stand_in):
    with pytest.raises(exceptions.NotFound):
        sign(stand_in, f"{RING}/cryptoKeys/nobody/cryptoKeyVersions/1")


def test_a_name_is_used_once(stand_in, version):
    name = version.split("/")[-3]
    with pytest.raises(exceptions.Conflict):
        stand_in.make_key(name)


def test_keys_that_do_not_sign_with_p256_are_refused(stand_in):
    key = {"purpose": kms.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT}
    request = {"parent": RING, "crypto_key_id": "other", "crypto_key": key}
    with pytest.raises(exceptions.BadRequest, match="ASYMMETRIC_SIGN only"):
        stand_in.client.create_crypto_key(request=request)


def test_keys_survive_a_kill(stand_in, version):
    before = sign(stand_in, version).signature
    stand_in.kill()
    stand_in.start()

    verify(stand_in, version, before)
    verify(stand_in, version, sign(stand_in, version).signature)
