"""`packhorse keys`, as an operator types it."""

import json
import stat
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata

from packhorse.cli.keys import keys


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(keys, [str(word) for word in words])


@pytest.fixture
def init(run, tmp_path):
    def call(*models):
        options = [word for model in models for word in ("--model", model)]
        folders = ["--directory", tmp_path / "keys", "--repository-out", tmp_path / "m"]
        return run("init", *folders, *options)

    return call


def test_keys_and_metadata_are_made_and_the_settings_shown(init, tmp_path):
    result = init("digits", "magika")

    assert result.exit_code == 0
    assert f"TIMESTAMP_KEY_URI=file2:{tmp_path}/keys/timestamp.pem" in result.output
    line = next(x for x in result.output.splitlines() if "RELEASE_KEY_URIS" in x)
    uris = json.loads(line.partition("=")[2])
    assert uris["digits"] == f"file2:{tmp_path}/keys/release-digits.pem"
    assert (tmp_path / "m" / "1.release-magika.json").exists()


def test_only_the_owner_can_read_a_key(init, tmp_path):
    init("digits")
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_key_file_signs_for_the_role_that_it_is_called_after(init, tmp_path):
    init("digits")
    root = Metadata.from_file(str(tmp_path / "m" / "1.root.json")).signed
    for name in ("timestamp", "snapshot", "targets-1", "root-3"):
        role, _, number = name.partition("-")
        key = root.get_key(root.roles[role].keyids[int(number or 1) - 1])
        uri = f"file2:{tmp_path}/keys/{name}.pem"
        signature = Signer.from_priv_key_uri(uri, key).sign(b"payload")
        key.verify_signature(signature, b"payload")


def test_keys_are_never_overwritten(init, tmp_path):
    init("digits")
    before = (tmp_path / "keys" / "root-1.pem").read_bytes()
    result = init("digits")

    assert result.exit_code == 1
    assert "must be empty" in result.output
    assert (tmp_path / "keys" / "root-1.pem").read_bytes() == before


def test_a_name_that_no_model_can_have_is_a_sentence(init, tmp_path):
    result = init("No Model")
    assert result.exit_code == 1
    assert "a model's name must match" in result.output
    assert not (tmp_path / "keys").exists()


def test_show_says_who_is_trusted_and_until_when(init, run, tmp_path):
    init("digits")
    result = run("show", tmp_path / "m")

    assert result.exit_code == 0
    assert "root: 2 of 3 keys" in result.output
    assert "vouches for bundles/digits/*/*" in result.output
    year = datetime.now(UTC).year
    assert f"root 1 is valid until {year + 1}-" in result.output


def test_show_looks_at_the_newest_metadata(init, run, tmp_path):
    init("digits")
    root = Metadata.from_file(str(tmp_path / "m" / "1.root.json"))
    root.signed.version = 10
    root.to_file(str(tmp_path / "m" / "10.root.json"))
    assert "root 10 is valid until" in run("show", tmp_path / "m").output


def test_a_folder_without_metadata_is_a_sentence(run, tmp_path):
    result = run("show", tmp_path)
    assert result.exit_code == 1
    assert "holds no metadata of root" in result.output


@pytest.mark.parametrize("body", [b"{}", b"", b"\xff"])
def test_a_file_that_is_no_metadata_is_a_sentence(init, run, tmp_path, body):
    init("digits")
    (tmp_path / "m" / "2.targets.json").write_bytes(body)
    result = run("show", tmp_path / "m")
    assert result.exit_code == 1
    assert "is no TUF metadata" in result.output


def test_metadata_under_another_role_s_name_is_a_sentence(init, run, tmp_path):
    init("digits")
    root = (tmp_path / "m" / "1.root.json").read_bytes()
    (tmp_path / "m" / "2.targets.json").write_bytes(root)
    result = run("show", tmp_path / "m")
    assert result.exit_code == 1
    assert "other metadata than it says" in result.output
