"""Gateways keep believing a repository in which nothing happens."""

import pytest
from tuf.api.metadata import Metadata


@pytest.fixture
def refresh(push, published_bucket, key_uris, monkeypatch):
    monkeypatch.setenv("BUNDLE_BUCKET", published_bucket)
    monkeypatch.setenv("SNAPSHOT_KEY_URI", key_uris["snapshot"])
    monkeypatch.setenv("TIMESTAMP_KEY_URI", key_uris["timestamp"])
    return lambda: push("refresh_timestamp", b"")


def test_the_timestamp_is_signed_anew(refresh, store, gateway):
    assert refresh().status_code == 200
    assert refresh().status_code == 200

    gateway().refresh()
    body = store.read("metadata/timestamp.json", 10_000)
    assert Metadata.from_bytes(body).signed.version == 3


def test_a_key_that_is_missing_is_named_and_the_message_kept(
    refresh, monkeypatch, capsys
):
    monkeypatch.setenv("TIMESTAMP_KEY_URI", "")
    assert refresh().status_code == 500
    assert "TIMESTAMP_KEY_URI is not set" in capsys.readouterr().out


def test_a_setting_that_is_no_uri_is_not_repeated(refresh, monkeypatch, capsys):
    monkeypatch.setenv("TIMESTAMP_KEY_URI", "-----BEGIN PRIVATE KEY-----")
    assert refresh().status_code == 500
    assert "BEGIN PRIVATE" not in capsys.readouterr().out
