"""`packhorse keys`, as an operator types it."""

import json
import stat
import sys
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


@pytest.fixture
def begun(init, run, tmp_path):
    """A repository, and what becomes of it: `begun("sign", ...)`."""
    assert init("digits").exit_code == 0

    def call(*words, fails=False):
        result = run(*words)
        assert result.exit_code == (1 if fails else 0), result.output
        return result.output

    return call


def uri(tmp_path, name):
    return f"file2:{tmp_path}/keys/{name}.pem"


def test_a_prepared_root_says_what_it_changes_and_who_must_sign(begun, tmp_path):
    begun("make", tmp_path / "fred.pem")
    change = ["change", "root", tmp_path / "m", "--out", tmp_path / "stick"]
    change += ["--replace-key", f"timestamp={tmp_path}/fred.pem.pub"]
    change += ["--threshold", "root=3"]
    said = begun(*change)

    assert "timestamp: takes out timestamp (" in said
    assert "timestamp: adds fred (" in said
    assert "root: 3 of 3 keys must agree, were 2 of 3" in said
    assert "by the keys of root 1: 0 of 2 signatures (nobody); 2 more of root-1" in said
    # The stick holds what the file is judged by, too.
    names = sorted(path.name for path in (tmp_path / "stick").iterdir())
    assert names == ["1.root.json", "2.root.json"]


def test_a_signature_is_added_and_counted(begun, tmp_path):
    stick = tmp_path / "stick"
    begun("change", "root", tmp_path / "m", "--out", stick)
    for number in (1, 2):
        said = begun("check", stick / "2.root.json", fails=True)
        assert f"{3 - number} more of" in said
        key = uri(tmp_path, f"root-{number}")
        said = begun("sign", stick / "2.root.json", "--key", key)
        assert f"signed by root-{number} (" in said
        assert "nothing but the dates changes" in said
    assert "upload it to metadata/2.root.json" in begun("check", stick / "2.root.json")


def test_signing_twice_changes_nothing(begun, tmp_path):
    file = tmp_path / "stick" / "2.root.json"
    begun("change", "root", tmp_path / "m", "--out", file.parent)
    for _ in range(2):
        said = begun("sign", file, "--key", uri(tmp_path, "root-1"))
    assert "1 of 2 signatures" in said
    assert len(Metadata.from_file(str(file)).signatures) == 1


def test_a_key_that_the_file_does_not_name_signs_nothing(begun, tmp_path):
    file = tmp_path / "stick" / "2.root.json"
    begun("change", "root", tmp_path / "m", "--out", file.parent)
    before = file.read_bytes()
    said = begun("sign", file, "--key", uri(tmp_path, "timestamp"), fails=True)
    assert "may not sign 2.root.json; the keys are root-1 (" in said
    assert file.read_bytes() == before


def test_what_travelled_is_judged_by_what_its_keeper_trusts(begun, tmp_path):
    """A stranger puts his own root on the stick, as the one before and as the next."""
    stick = tmp_path / "stick"
    begun("change", "root", tmp_path / "m", "--out", stick)
    forged = Metadata.from_file(str(stick / "2.root.json"))
    forged.signed.consistent_snapshot = False
    forged.signed.roles["timestamp"].threshold = 7
    forged.to_file(str(stick / "2.root.json"))

    words = [stick / "2.root.json", "--key", uri(tmp_path, "root-1")]
    said = begun("sign", *words, "--trusted", tmp_path / "m")
    assert "consistent_snapshot: False, was True" in said
    assert "timestamp: 7 of 1 keys must agree" in said
    (stick / "1.root.json").unlink()
    assert "must hold the root before version 2" in begun("sign", *words, fails=True)


def test_a_former_root_that_its_keys_did_not_sign_proves_nothing(begun, tmp_path):
    stick = tmp_path / "stick"
    begun("change", "root", tmp_path / "m", "--out", stick)
    former = Metadata.from_file(str(stick / "1.root.json"))
    former.signed.roles["root"].threshold = 1
    former.to_file(str(stick / "1.root.json"))
    words = ["sign", stick / "2.root.json", "--key", uri(tmp_path, "root-1")]
    assert "not signed by its own keys" in begun(*words, fails=True)


def test_another_key_under_the_same_id_is_seen(begun, tmp_path):
    stick = tmp_path / "stick"
    begun("change", "root", tmp_path / "m", "--out", stick)
    forged = Metadata.from_file(str(stick / "2.root.json"))
    keyid = forged.signed.roles["timestamp"].keyids[0]
    other = forged.signed.keys[forged.signed.roles["snapshot"].keyids[0]]
    forged.signed.keys[keyid].keyval["public"] = other.keyval["public"]
    forged.to_file(str(stick / "2.root.json"))
    said = begun("check", stick / "2.root.json", fails=True)
    assert f"the key {keyid} is ANOTHER KEY under the same id" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--threshold", "root=4"], "4 signatures for root from 3 keys"),
        (["--threshold", "root=x"], "must end in a number"),
        (["--remove-key", "root=zoe"], "root has 0 keys called 'zoe'"),
        (["--remove-key", "root=root-1"], ""),
        (["--remove-key", "timestamp=timestamp"], "1 signatures for timestamp from 0"),
        (["--add-key", "rollouts=KEYS/root-1.pem"], "delegated to by targets"),
        (["--add-key", "targets=KEYS/root-1.pem"], "targets must have one of its own"),
        (["--add-key", "root=KEYS/rollouts.pem"], "1.targets.json already"),
        (["--add-key", "root=KEYS/nobody.pem"], "No such file"),
        (["--days", "90"], ""),
    ],
)
def test_a_change_that_would_lock_people_out_is_refused(
    begun, tmp_path, words, sentence
):
    words = [word.replace("KEYS", f"{tmp_path}/keys") for word in words]
    out = tmp_path / "stick"
    command = ["change", "root", tmp_path / "m", "--out", out, *words]
    result = CliRunner().invoke(keys, [str(word) for word in command])
    said = f"{result.output} {result.exception}"
    assert sentence in said
    assert (out / "2.root.json").exists() == (not sentence)


def test_a_second_root_is_not_built_on_one_that_waits(begun, tmp_path):
    begun("change", "root", tmp_path / "m", "--out", tmp_path / "m")
    again = ["change", "root", tmp_path / "m", "--out", tmp_path / "stick"]
    assert "waits for signatures" in begun(*again, fails=True)


def test_nothing_prepared_is_overwritten(begun, tmp_path):
    change = ["change", "targets", tmp_path / "m", "--out", tmp_path / "stick"]
    begun(*change)
    assert "never overwritten" in begun(*change, fails=True)


def test_programs_read_the_same(begun, tmp_path):
    stick = tmp_path / "stick"
    change = ["change", "targets", tmp_path / "m", "--out", stick, "--json"]
    made = json.loads(begun(*change))
    assert made["version"] == 2
    begun("sign", made["file"], "--key", uri(tmp_path, "targets-2"))
    found = json.loads(begun("check", made["file"], "--json", fails=True))
    assert found["is_whole"] is False
    [quorum] = found["quorums"]
    assert quorum["threshold"] == 2
    assert quorum["signed"][0].startswith("targets-2 (")
    assert quorum["missing"][0].startswith("targets-1 (")


def test_today_s_repositories_with_one_targets_key_go_on(init, run, tmp_path):
    given = ["--threshold", "targets=1", "--model", "digits"]
    run("make", tmp_path / "targets.pem")
    key = f"targets=file2:{tmp_path}/targets.pem"
    folders = ["--directory", tmp_path / "keys", "--repository-out", tmp_path / "m"]
    result = run("init", *folders, *given, "--key", key)
    assert result.exit_code == 0, result.output
    assert "metadata to upload in" in result.output
    assert "targets: 1 of 1 keys" in run("show", tmp_path / "m").output


def test_a_function_s_key_must_be_able_to_sign(run, tmp_path):
    run("make", tmp_path / "t.pem")
    words = ["--directory", tmp_path / "keys", "--repository-out", tmp_path / "m"]
    words += ["--model", "digits", "--key", f"timestamp={tmp_path}/t.pem.pub"]
    result = run("init", *words)
    assert result.exit_code == 1
    assert "by a file2: or gcpkms: URI" in result.output


def test_one_key_for_two_roles_is_refused(run, tmp_path):
    run("make", tmp_path / "t.pem")
    given = [f"{role}=file2:{tmp_path}/t.pem" for role in ("timestamp", "rollouts")]
    words = ["--directory", tmp_path / "keys", "--repository-out", tmp_path / "m"]
    words += [word for each in given for word in ("--key", each)]
    result = run("init", *words, "--model", "digits")
    assert result.exit_code == 1
    assert "is given twice" in result.output


def test_what_expires_soon_says_so(begun, tmp_path):
    begun("change", "root", tmp_path / "m", "--out", tmp_path / "m", "--days", "30")
    said = begun("show", tmp_path / "m")
    assert "renew it, 29 days left" in said


def test_a_missing_library_is_a_sentence(begun, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.kms", None)
    version = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    said = begun("public", f"gcpkms:{version}", "--out", tmp_path / "x", fails=True)
    assert "pip install google-cloud-kms" in said


def test_cloud_kms_that_is_away_is_a_sentence(begun, tmp_path):
    version = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    words = ["public", f"gcpkms:{version}", "--out", tmp_path / "x"]
    said = begun(*words, "--kms-endpoint", "http://127.0.0.1:1", fails=True)
    assert "Cloud KMS did not do its part" in said
