"""`packhorse keys`, as an operator types it."""

import json
import resource
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata

from packhorse.cli.keys import keys
from tests.packhorse.cli.people import PROGRAM


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


def test_show_looks_at_the_newest_metadata_that_is_signed(begun, tmp_path):
    for name in ("root", "targets"):
        begun("change", name, tmp_path / "m", "--out", tmp_path / "m")
    said = begun("show", tmp_path / "m")
    assert "root 1 is valid until" in said
    assert "2.root.json is not in force: it waits for signatures" in said
    assert "2.targets.json is not in force: it waits for signatures" in said

    for name in ("root-1", "root-3"):
        begun("sign", tmp_path / "m" / "2.root.json", "--key", uri(tmp_path, name))
    for name in ("targets-1", "targets-2"):
        begun("sign", tmp_path / "m" / "2.targets.json", "--key", uri(tmp_path, name))
    said = begun("show", tmp_path / "m")
    assert "root 2 is valid until" in said
    # What the snapshot does not name is not in force either.
    assert "targets 1 is valid until" in said
    assert "2.targets.json is not in force: no function has taken it over" in said


def test_show_says_whom_a_new_root_leaves_without_a_signature(begun, tmp_path):
    begun("make", tmp_path / "new.pem")
    change = ["change", "root", tmp_path / "m", "--out", tmp_path / "m"]
    begun(*change, "--replace-key", f"timestamp={tmp_path}/new.pem.pub")
    for name in ("root-1", "root-3"):
        begun("sign", tmp_path / "m" / "2.root.json", "--key", uri(tmp_path, name))
    said = begun("show", tmp_path / "m")
    assert "timestamp 1 IS NOT SIGNED by the keys that are trusted now" in said
    shown = json.loads(begun("show", tmp_path / "m", "--json"))["metadata"]
    assert [name for name, each in shown.items() if not each["is_signed"]] == [
        "timestamp"
    ]


def test_show_makes_do_with_what_is_there(begun, tmp_path):
    """Part of a copy, or a stick: nothing of it is a reason to say nothing."""
    folder = tmp_path / "m"
    (folder / "1.snapshot.json").rename(folder / "2.snapshot.json")
    assert "2.snapshot.json holds other metadata" in begun("show", folder, fails=True)
    (folder / "2.snapshot.json").unlink()
    assert "targets 1 is valid until" in begun("show", folder)

    for name in ("timestamp", "1.targets"):
        (folder / f"{name}.json").unlink()
    (folder / "2.root.json").write_bytes(b"{")
    said = begun("show", folder)
    assert "root 1 is valid until" in said
    assert "targets has no metadata here" in said
    assert "2.root.json is not in force" in said
    assert "is no TUF metadata" in said


def test_show_is_told_of_a_repository_that_nobody_signed_yet(begun, tmp_path):
    file = tmp_path / "m" / "1.root.json"
    root = Metadata.from_file(str(file))
    root.signatures.clear()
    root.to_file(str(file))
    (tmp_path / "m" / "1.rollouts.json").unlink()
    said = begun("show", tmp_path / "m")
    assert "root 1 IS NOT SIGNED" in said
    assert "rollouts has no metadata here" in said


def test_a_folder_without_metadata_is_a_sentence(run, tmp_path):
    result = run("show", tmp_path)
    assert result.exit_code == 1
    assert "holds no metadata of root" in result.output


@pytest.mark.parametrize("body", [b"{}", b"", b"\xff"])
def test_a_file_that_is_no_metadata_is_a_sentence(init, run, tmp_path, body):
    init("digits")
    (tmp_path / "m" / "2.targets.json").write_bytes(body)
    result = run("check", tmp_path / "m" / "2.targets.json")
    assert result.exit_code == 1
    assert "is no TUF metadata: it was cut short or changed" in result.output
    # Who can write the bucket can put it there: it is passed over.
    result = run("show", tmp_path / "m")
    assert "2.targets.json is not in force" in result.output
    result = run("change", "targets", tmp_path / "m", "--out", tmp_path / "stick")
    assert (tmp_path / "stick" / "3.targets.json").exists(), result.output


def test_metadata_under_another_role_s_name_is_a_sentence(init, run, tmp_path):
    init("digits")
    root = (tmp_path / "m" / "1.root.json").read_bytes()
    (tmp_path / "m" / "2.targets.json").write_bytes(root)
    result = run("check", tmp_path / "m" / "2.targets.json")
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
    forged.signed.unrecognized_fields["note"] = "x" * 1_000
    forged.signed.roles["root"].threshold = 3
    forged.to_file(str(stick / "2.root.json"))

    words = [stick / "2.root.json", "--key", uri(tmp_path, "root-1")]
    said = begun("sign", *words, "--trusted", tmp_path / "m")
    assert "note: 'xxx" in said
    assert "xxx... (cut), was None" in said
    assert "root: 3 of 3 keys must agree, were 2 of 3" in said
    assert "may be forged with it" not in said
    assert "may be forged with it" in begun("sign", *words)
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
    words = [stick / "2.root.json", "--key", uri(tmp_path, "root-1")]
    assert f"the key {keyid} is ANOTHER KEY than its id" in begun(
        "sign", *words, fails=True
    )


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("consistent_snapshot", False, "consistent_snapshot must be true"),
        ("public", "garbage", "is ANOTHER KEY than its id says, or none"),
        ("expires", "2020-01-01T00:00:00Z", "it has expired, on 2020-01-01"),
        ("threshold", 2, "timestamp would want 2 signatures from 1 keys"),
        ("keyids", [], "timestamp would want 1 signatures from 0 keys"),
        ("keyids", ["ab"], "timestamp names the key ab, which is not in the file"),
    ],
)
def test_a_root_that_would_lock_everybody_out_is_not_signed(
    begun, tmp_path, field, value, sentence
):
    file = tmp_path / "stick" / "2.root.json"
    begun("change", "root", tmp_path / "m", "--out", file.parent)
    root = json.loads(file.read_bytes())
    role = root["signed"]["roles"]["timestamp"]
    keyval = root["signed"]["keys"][role["keyids"][0]]["keyval"]
    for place in (role, keyval, root["signed"]):
        if field in place:
            place[field] = value
    file.write_text(json.dumps(root))
    before = file.read_bytes()

    said = begun("sign", file, "--key", uri(tmp_path, "root-1"), fails=True)

    assert "2.root.json must not be signed: " in said
    assert sentence in said
    assert file.read_bytes() == before
    assert sentence in begun("check", file, fails=True)


def test_one_key_under_two_ids_is_no_second_key(begun, tmp_path):
    file = tmp_path / "stick" / "2.root.json"
    begun("change", "root", tmp_path / "m", "--out", file.parent)
    root = json.loads(file.read_bytes())["signed"]
    first, second = root["roles"]["root"]["keyids"][:2]
    root["keys"][second] = root["keys"][first]
    root["roles"]["root"]["threshold"] = 3
    file.write_text(json.dumps({"signed": root, "signatures": []}))
    said = begun("check", file, fails=True)
    assert f"the key {second} is ANOTHER KEY than its id" in said
    assert "root would want 3 signatures from 2 keys" in said


@pytest.mark.parametrize("number", [1, 2])
def test_another_file_of_a_number_that_is_used_is_not_signed(begun, tmp_path, number):
    """Both signed, a thief could show each gateway the one that he likes."""
    trusted, stick = tmp_path / "m", tmp_path / "stick"
    begun("make", tmp_path / "thief.pem")
    words = ["--replace-key", f"timestamp={tmp_path}/thief.pem.pub"]
    begun("change", "root", trusted, "--out", stick, *words)
    for _ in range(number):
        begun("change", "root", trusted, "--out", trusted)
        newest = max(trusted.glob("*.root.json"))
        for name in ("root-1", "root-2"):
            begun("sign", newest, "--key", uri(tmp_path, name))
    words = ["--key", uri(tmp_path, "root-1"), "--trusted", trusted]

    said = begun("sign", stick / "2.root.json", *words, fails=True)

    assert f"{trusted} holds {newest.name} already" in said
    # The same file again does no harm: a third signature is welcome.
    words = ["--key", uri(tmp_path, "root-3"), "--trusted", trusted]
    begun("sign", trusted / "2.root.json", *words)


def test_a_stick_with_another_former_root_is_not_used(begun, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "1.root.json").write_bytes(b"{}")
    said = begun("change", "root", tmp_path / "m", "--out", stick, fails=True)
    assert "prepared in an empty folder" in said
    assert not (stick / "2.root.json").exists()


def test_a_key_is_shown_by_its_whole_id(begun, tmp_path):
    """Who reads the change compares it; the first digits could be imitated."""
    keyid = json.loads(begun("make", tmp_path / "fred.pem", "--json"))["key"]
    words = ["--out", tmp_path / "stick", "--add-key", f"root={tmp_path}/fred.pem.pub"]
    said = begun("change", "root", tmp_path / "m", *words)
    assert f"root: adds fred ({keyid[:8]}) {keyid}" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--threshold", "root=4"], "4 signatures for root from 3 keys"),
        (["--threshold", "root=x"], "must end in a number"),
        (["--remove-key", "root=zoe"], "root has 0 keys called 'zoe'"),
        (["--remove-key", "root=root-1"], ""),
        (
            ["--add-key", "timestamp=FRED", "--threshold", "timestamp=2"],
            "timestamp must want 1 signature: a function signs it",
        ),
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
    begun("make", tmp_path / "fred.pem")
    words = [word.replace("KEYS", f"{tmp_path}/keys") for word in words]
    words = [word.replace("FRED", f"{tmp_path}/fred.pem.pub") for word in words]
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


def test_what_could_not_be_begun_leaves_nothing_in_the_way(run, tmp_path):
    run("make", tmp_path / "t.pem")
    words = ["init", "--model", "digits", "--directory", tmp_path / "keys"]
    words += ["--repository-out", tmp_path / "m"]
    result = run(*words, "--key", f"timestamp={tmp_path}/t.pem.pub")
    assert result.exit_code == 1
    assert not list((tmp_path / "keys").iterdir())

    assert run(*words).exit_code == 0


def test_a_public_half_that_is_there_is_not_left_with_another_private_one(
    begun, tmp_path
):
    (tmp_path / "anna.pem.pub").touch()
    assert "give another name" in begun("make", tmp_path / "anna.pem", fails=True)
    assert not (tmp_path / "anna.pem").exists()


def test_a_public_key_has_no_private_uri(begun, tmp_path):
    begun("make", tmp_path / "a.pem")
    words = ["public", tmp_path / "a.pem.pub", "--out", tmp_path / "b.pub"]
    assert "must be a file2: or gcpkms: URI" in begun(*words, fails=True)


@pytest.mark.parametrize("words", [["sign", "2.root.json"], ["make", "new.pem"]])
def test_a_full_disk_leaves_no_half_of_a_file(begun, tmp_path, words):
    stick = tmp_path / "stick"
    begun("change", "root", tmp_path / "m", "--out", stick)
    key = ["--key", uri(tmp_path, "root-1")] if words[0] == "sign" else []
    command = [PROGRAM, "keys", words[0], stick / words[1], *key]
    before = {path: path.read_bytes() for path in stick.iterdir()}

    # No file may have more than 100 bytes: the error is EFBIG in place of ENOSPC.
    ended = subprocess.run(
        command,
        check=False,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )

    assert ended.returncode == 1
    assert b"File too large" in ended.stderr
    assert {path: path.read_bytes() for path in stick.iterdir()} == before


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
    for name in ("root-1", "root-2"):
        begun("sign", tmp_path / "m" / "2.root.json", "--key", uri(tmp_path, name))
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
