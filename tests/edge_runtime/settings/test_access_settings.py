"""An address that others reach is not listened on by oversight."""

import hashlib

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.settings.access_settings import TOKENS_MAX, AccessSettings
from edge_runtime.settings.serve_settings import serve_settings

TOKEN = "0123456789abcdef0123456789ABCDEF"
SERVE = {"PACKHORSE_STATE_DIR": "/var/lib/packhorse"}
WIDE = {**SERVE, "PACKHORSE_LISTEN": "0.0.0.0:8080"}
CONTAINER = {
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/health",
    "AIP_PREDICT_ROUTE": "/predict",
    "AIP_STORAGE_URI": "gs://bucket/o",
    "PACKHORSE_BUNDLE_SHA256": "0" * 64,
}


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def tls(tmp_path):
    """Names of files that are there; what is in them is looked at later."""
    for name in ("cert", "key", "ca"):
        (tmp_path / name).touch()
    return {
        "PACKHORSE_TLS_CERT_FILE": str(tmp_path / "cert"),
        "PACKHORSE_TLS_KEY_FILE": str(tmp_path / "key"),
    }


@pytest.fixture
def token_file(tmp_path):
    def write(text):
        path = tmp_path / "token"
        path.write_bytes(text.encode())
        return {"PACKHORSE_TOKEN_FILE": str(path)}

    return write


def test_nobody_is_asked_on_loopback():
    assert serve_settings(SERVE).access is None


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "192.168.1.2:80"])
def test_a_wide_address_alone_is_refused_and_the_ways_out_are_named(address):
    with pytest.raises(SettingsError, match="PACKHORSE_TOKEN_FILE") as caught:
        serve_settings({**SERVE, "PACKHORSE_LISTEN": address})
    for way in ("PACKHORSE_TLS_CLIENT_CA_FILE", "PACKHORSE_LISTEN_UNPROTECTED=1"):
        assert way in str(caught.value)


def test_tls_that_lets_every_client_in_is_not_enough(tls):
    with pytest.raises(SettingsError, match=r"PACKHORSE_LISTEN=0\.0\.0\.0:8080"):
        serve_settings({**WIDE, **tls})


def test_a_token_opens_a_wide_address_and_only_its_hash_is_kept(token_file):
    settings = serve_settings({**WIDE, **token_file(f"{TOKEN}\n")})
    assert settings.host == "0.0.0.0"
    assert settings.access == AccessSettings((sha256(TOKEN),))
    assert TOKEN not in repr(settings)


def test_an_old_token_may_stand_beside_the_new_one(token_file):
    settings = serve_settings({**WIDE, **token_file(f"{TOKEN}\r\n{TOKEN}2\n")})
    assert settings.access.tokens_sha256 == (sha256(TOKEN), sha256(f"{TOKEN}2"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TOKEN[:-1],
        f"{TOKEN} short",
        f"{TOKEN}!",
        "a" * 5000,
        f"{TOKEN}\n" * (TOKENS_MAX + 1),
        "ü" * 40,
        f"=={TOKEN}",
    ],
)
def test_a_file_without_good_tokens_is_refused_and_nothing_of_it_told(token_file, text):
    with pytest.raises(SettingsError, match="PACKHORSE_TOKEN_FILE") as caught:
        serve_settings({**SERVE, **token_file(text)})
    assert text[:10].strip() == "" or text[:10] not in str(caught.value)


def test_client_certificates_open_a_wide_address(tls, tmp_path):
    mutual = {**tls, "PACKHORSE_TLS_CLIENT_CA_FILE": str(tmp_path / "ca")}
    settings = serve_settings({**WIDE, **mutual})
    assert settings.access.tls.client_ca_file == tmp_path / "ca"
    assert settings.access.is_guarded


def test_who_wants_an_open_server_says_so():
    settings = serve_settings({**WIDE, "PACKHORSE_LISTEN_UNPROTECTED": "1"})
    assert (settings.host, settings.access) == ("0.0.0.0", None)
    with pytest.raises(SettingsError):
        serve_settings({**WIDE, "PACKHORSE_LISTEN_UNPROTECTED": "0"})
    with pytest.raises(SettingsError, match="PACKHORSE_LISTEN_UNPROTECTED"):
        serve_settings({**WIDE, "PACKHORSE_LISTEN_UNPROTECTED": "true"})


@pytest.mark.parametrize(
    "name", ["PACKHORSE_TLS_KEY_FILE", "PACKHORSE_TLS_CLIENT_CA_FILE"]
)
def test_half_of_tls_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"{name} needs PACKHORSE_TLS_CERT_FILE"):
        serve_settings({**SERVE, name: str(tmp_path / "file")})


def test_a_certificate_needs_its_key(tls):
    with pytest.raises(SettingsError, match="PACKHORSE_TLS_KEY_FILE is missing"):
        serve_settings({**SERVE, **tls, "PACKHORSE_TLS_KEY_FILE": ""})


def test_vertex_ai_waives_the_token_but_one_that_is_set_is_asked_for(token_file):
    assert serve_settings(CONTAINER).access is None
    settings = serve_settings({**CONTAINER, **token_file(TOKEN)})
    assert settings.access.tokens_sha256 == (sha256(TOKEN),)
