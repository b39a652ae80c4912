"""Access tokens come from where google-auth finds them."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from functions.adapters.access_token import AccessToken
from functions.errors import UpstreamUnavailableError


def test_the_token_of_the_service_account_is_had_and_kept(google_account):
    token = AccessToken()
    first = token()
    assert first
    assert token() == first


def test_credentials_that_are_missing_are_an_error_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(UpstreamUnavailableError, match="token service"):
        AccessToken()


def test_a_token_service_that_is_away_is_an_error_of_ours(tmp_path, monkeypatch):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "demo",
        "client_email": "demo@demo.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        # Of the kinds of credentials in a file, only this one keeps to it.
        "token_uri": "http://127.0.0.1:9/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    token = AccessToken()
    with pytest.raises(UpstreamUnavailableError, match="token service"):
        token()
