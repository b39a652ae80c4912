"""Every attack that TUF names, against the gateway's own client.

Source: The Update Framework, 1.0.34, 1.5.2 "Goals to protect against specific attacks"
"""

import base64
import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.trusted_repository import TrustedRepository
from packhorse.errors import UntrustedError
from tests.tuf_repository import RepositoryServer
from tests.tuf_simulator import TufSimulator, now

DAY = timedelta(days=1)


@pytest.fixture
def simulator(tmp_path):
    simulator = TufSimulator(tmp_path / "repository")
    simulator.add_target("file", b"content")
    simulator.publish("targets")
    return simulator


@pytest.fixture
def server(simulator):
    server = RepositoryServer(simulator.folder)
    yield server
    server.stop()


class Client:
    """A gateway's client, and what it trusts."""

    def __init__(self, repository):
        self.repository = repository

    def wait(self, time):
        """Let the machine's clock run on."""
        clock = Clock(
            self.repository.state_dir,
            wall_time=lambda: now() + time,
            is_synchronised=lambda: False,
        )
        self.repository = replace(self.repository, clock=clock)

    def refresh(self):
        with self.repository.opened():
            pass

    def fetch(self, *paths):
        with self.repository.opened() as view:
            targets = [view.find(path) for path in paths]
            return [
                target and view.read(target, most_bytes=1_000) for target in targets
            ]

    def trusted(self, role):
        """Return the bytes that are trusted for `role`."""
        path = self.repository.metadata_dir / f"{role}.json"
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def client(state_dir, simulator, server):
    return Client(
        TrustedRepository(
            state_dir,
            f"{server.url}/metadata",
            f"{server.url}/targets",
            simulator.root_bytes,
            Web(body_s=0.5),
            Clock(state_dir, is_synchronised=lambda: False),
        )
    )


NAMED_BY = {"targets": "snapshot", "snapshot": "timestamp"}


def publish_namer(simulator, role):
    """Let the role that names `role`, if one does, name what was just written."""
    if role in NAMED_BY:
        simulator.publish(NAMED_BY[role])


def served(simulator, role):
    return simulator.file(role).read_bytes()


# Arbitrary software


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_arbitrary_software_is_refused_whichever_role_a_stranger_signs(
    client, simulator, role
):
    client.refresh()
    before = {r: client.trusted(r) for r in simulator.signers}
    simulator.bump(role, signers=[CryptoSigner.generate_ed25519()])
    publish_namer(simulator, role)

    with pytest.raises(UntrustedError):
        client.refresh()
    assert client.trusted(role) == before[role]


def test_arbitrary_software_is_refused_in_place_of_a_target(client, simulator):
    path = next((simulator.folder / "targets").iterdir())
    path.write_bytes(b"CONTENT")

    with pytest.raises(UntrustedError):
        client.fetch("file")


def test_a_role_without_signatures_is_refused(client, simulator):
    simulator.bump("timestamp", signers=[])

    with pytest.raises(UntrustedError, match="0/1"):
        client.refresh()


# Endless data, slow retrieval


@pytest.mark.parametrize(
    ("role", "limit_bytes"),
    [("timestamp", 16_384), ("root", 512_000), ("snapshot", 5_000_000)],
)
def test_endless_data_is_cut_off_at_the_limit_of_its_role(
    client, simulator, role, limit_bytes
):
    client.refresh()
    simulator.publish("snapshot")
    simulator.bump("root")
    simulator.file(role).write_bytes(b" " * (limit_bytes + 1_000_000))
    before = client.repository.web.traffic.received_bytes

    with pytest.raises(UnavailableError):
        client.refresh()
    # What the system had read ahead is counted too.
    came = client.repository.web.traffic.received_bytes - before
    assert came < limit_bytes + 200_000


def test_endless_data_in_place_of_a_target_is_cut_off(client, simulator):
    path = next((simulator.folder / "targets").iterdir())
    path.write_bytes(b"content" + b"x" * 5_000_000)

    with pytest.raises(UntrustedError, match="length"):
        client.fetch("file")
    assert client.repository.web.traffic.received_bytes < 500_000


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "2.snapshot.json"])
def test_slow_retrieval_is_given_up(client, server, name):
    server.faults.drip = name

    with pytest.raises(UnavailableError):
        client.refresh()


# Extraneous dependencies, wrong software: what nobody vouches for


def test_a_target_that_nobody_vouches_for_is_not_found(client, simulator):
    simulator.store("extra", b"unwanted")

    assert client.fetch("extra", "file") == [None, b"content"]


# Fast-forward


@pytest.mark.parametrize("lost", [["timestamp"], ["timestamp", "snapshot"]])
def test_a_fast_forward_attack_is_recovered_from_by_replacing_the_key(
    client, simulator, lost
):
    saved = simulator.signed["timestamp"].version, simulator.signed["snapshot"].version
    for role in lost:
        simulator.signed[role].version = 2**53
    simulator.write("snapshot")
    simulator.write("timestamp")
    client.refresh()

    simulator.signed["timestamp"].version, simulator.signed["snapshot"].version = saved
    simulator.replace_keys(*lost)
    simulator.publish("root", "snapshot")

    client.refresh()
    assert client.trusted("timestamp") == served(simulator, "timestamp")
    assert client.trusted("snapshot") == served(simulator, "snapshot")


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_a_fast_forward_is_recovered_from_by_the_snapshots_key_alone(
    client, simulator, role
):
    """python-tuf alone would stay at the snapshot: the old timestamp still verifies."""
    simulator.signed[role].version = 2**53
    simulator.publish(role)
    client.refresh()

    simulator.signed[role].version = 2
    simulator.replace_keys("snapshot")
    simulator.publish("root", role)

    client.refresh()
    assert client.trusted(role) == served(simulator, role)


def test_a_recovery_that_broke_off_goes_on(client, simulator, server):
    simulator.signed["snapshot"].version = 2**53
    simulator.publish("snapshot")
    client.refresh()
    simulator.signed["snapshot"].version = 2
    simulator.replace_keys("snapshot")
    simulator.publish("root", "snapshot")
    server.faults.missing = "timestamp.json"
    with pytest.raises(UnavailableError):
        client.refresh()

    server.faults.missing = ""

    client.refresh()
    assert client.trusted("snapshot") == served(simulator, "snapshot")


def test_a_key_that_is_added_gives_nobody_a_way_back(client, simulator):
    simulator.publish("timestamp")
    saved = simulator.save()
    simulator.publish("snapshot")
    client.refresh()
    simulator.restore(saved)
    simulator.add_key("timestamp")
    simulator.bump("root")

    with pytest.raises(UntrustedError):
        client.refresh()


# Indefinite freeze


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_freeze_ends_when_a_role_expires(client, simulator, role):
    simulator.signed[role].expires = now() - DAY
    simulator.publish(role)

    with pytest.raises(UntrustedError, match="expired"):
        client.refresh()
    assert (client.trusted(role) == served(simulator, role)) is (role == "root")


def test_a_delegated_role_that_expired_vouches_for_nothing(client, simulator):
    simulator.delegate("role", paths=["in/*"])
    simulator.add_target("in/file", b"delegated", "role")
    simulator.signed["role"].expires = now() - DAY
    simulator.publish("role", "targets")

    with pytest.raises(UntrustedError, match="expired"):
        client.fetch("in/file")
    assert client.trusted("role") is None


def test_metadata_that_expired_here_still_protects_from_going_back(client, simulator):
    saved = simulator.save()
    simulator.publish("snapshot")
    simulator.signed["timestamp"].expires = now() + DAY
    simulator.publish("timestamp")
    client.refresh()
    client.wait(2 * DAY)
    simulator.restore(saved)

    with pytest.raises(UntrustedError):
        client.refresh()
    assert client.trusted("timestamp") != saved["timestamp.json"]


def test_metadata_that_expired_here_is_replaced_by_newer(client, simulator):
    simulator.signed["timestamp"].expires = now() + DAY
    simulator.publish("timestamp")
    client.refresh()
    client.wait(18 * DAY)
    simulator.signed["timestamp"].expires = now() + 21 * DAY
    simulator.publish("targets")

    client.refresh()
    assert client.trusted("targets") == served(simulator, "targets")


# Mix-and-match


def test_a_snapshot_of_another_moment_is_refused(client, simulator):
    simulator.publish("snapshot")
    old = (simulator.metadata / "2.snapshot.json").read_bytes()
    simulator.publish("snapshot")
    simulator.file("snapshot").write_bytes(old)

    with pytest.raises(UntrustedError):
        client.refresh()
    assert client.trusted("snapshot") is None


@pytest.mark.parametrize("with_hashes", [False, True], ids=["version", "hash"])
def test_targets_of_another_moment_are_refused(client, simulator, with_hashes):
    client.refresh()
    simulator.with_hashes = with_hashes
    simulator.publish("targets")
    file = simulator.file("targets")
    if with_hashes:
        simulator.signed["targets"].targets.clear()
        body = simulator.save()
        simulator.write("targets")
        simulator.restore(body | {file.name: file.read_bytes()})
    else:
        old = (simulator.metadata / "1.targets.json").read_bytes()
        file.write_bytes(old)

    with pytest.raises(UntrustedError):
        client.refresh()


def test_a_snapshot_that_forgets_a_role_is_refused(client, simulator):
    simulator.delegate("role")
    simulator.publish("role", "targets")
    client.refresh()
    del simulator.signed["snapshot"].meta["role.json"]
    simulator.publish("snapshot")

    with pytest.raises(UntrustedError, match="role"):
        client.refresh()


# Rollback


def test_a_rollback_of_the_timestamp_is_refused(client, simulator):
    saved = simulator.save()
    simulator.publish("timestamp")
    client.refresh()
    simulator.restore(saved)

    with pytest.raises(UntrustedError, match="version"):
        client.refresh()


@pytest.mark.parametrize("role", ["snapshot", "targets"])
@pytest.mark.parametrize("with_hashes", [False, True], ids=["plain", "with hashes"])
def test_a_rollback_under_a_new_timestamp_is_refused(
    client, simulator, role, with_hashes
):
    simulator.with_hashes = with_hashes
    simulator.publish("targets")
    client.refresh()
    simulator.signed[role].version -= 2
    simulator.publish(role)

    with pytest.raises(UntrustedError):
        client.refresh()


def test_a_rollback_of_the_root_is_refused(client, simulator):
    simulator.bump("root")
    simulator.bump("root")
    client.refresh()
    newest = served(simulator, "root")
    for path in simulator.metadata.glob("[23].root.json"):
        path.unlink()

    client.refresh()
    assert client.trusted("root") == newest


def test_a_timestamp_of_the_same_version_with_other_content_changes_nothing(
    client, simulator
):
    client.refresh()
    before = client.trusted("timestamp")
    simulator.signed["timestamp"].snapshot_meta.version = 100
    simulator.write("timestamp")

    client.refresh()
    assert client.trusted("timestamp") == before


# Keys: thresholds, chains of roots, wrong and duplicate keys


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_fewer_keys_than_the_threshold_are_refused(client, simulator, role):
    simulator.add_key(role)
    simulator.set_threshold(role, 2)
    simulator.bump("root")
    simulator.publish("timestamp" if role == "root" else role)
    client.refresh()

    simulator.bump(role, signers=simulator.signers[role][:1])
    publish_namer(simulator, role)

    with pytest.raises(UntrustedError, match="1/2"):
        client.refresh()


def test_the_same_key_twice_counts_once(client, simulator):
    simulator.set_threshold("timestamp", 2)
    simulator.bump("root")
    signer = simulator.signers["timestamp"][0]
    simulator.bump("timestamp", signers=[signer, signer])

    with pytest.raises(UntrustedError):
        client.refresh()


def test_a_role_that_names_a_key_twice_is_refused(client, simulator):
    simulator.set_threshold("timestamp", 2)
    role = simulator.signed["root"].roles["timestamp"]
    role.keyids.append(role.keyids[0])
    simulator.bump("root")

    with pytest.raises(UntrustedError):
        client.refresh()


def test_one_key_under_many_names_counts_once(client, simulator):
    """A threshold counts keys; python-tuf alone would count names."""
    root = simulator.signed["root"]
    private = Ed25519PrivateKey.generate()
    signers = [CryptoSigner(private)]
    key = signers[0].public_key
    for keyid in ("a" * 64, "b" * 64):
        named = type(key)(keyid, key.keytype, key.scheme, key.keyval)
        signers.append(CryptoSigner(private, named))
    for signer in signers:
        root.add_key(signer.public_key, "timestamp")
    simulator.set_threshold("timestamp", 3)
    simulator.bump("root")
    simulator.bump("timestamp", signers=signers)

    with pytest.raises(UntrustedError, match="1/3"):
        client.refresh()


def compress(pem):
    """Write a P-256 key with one coordinate, which says as much as two."""
    point = load_pem_public_key(pem.encode()).public_bytes(
        Encoding.X962, PublicFormat.CompressedPoint
    )
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    body = base64.encodebytes(head + point).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    "write",
    [
        lambda pem: pem.rstrip("\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        compress,
    ],
    ids=["no end of line", "other ends of lines", "compressed point"],
)
def test_one_key_written_in_two_ways_counts_once(client, simulator, write):
    root = simulator.signed["root"]
    private = ec.generate_private_key(ec.SECP256R1())
    signers = [CryptoSigner(private)]
    key = signers[0].public_key
    other = {"public": write(key.keyval["public"])}
    assert other != key.keyval
    twin = type(key)("a" * 64, "ecdsa-sha2-nistp256", key.scheme, other)
    signers.append(CryptoSigner(private, twin))
    simulator.replace_keys("timestamp")
    root.add_key(key, "timestamp")
    root.add_key(twin, "timestamp")
    simulator.set_threshold("timestamp", 2)
    simulator.bump("root")
    simulator.bump("timestamp", signers=signers)

    with pytest.raises(UntrustedError, match="1/2"):
        client.refresh()


def test_a_key_of_another_role_signs_nothing(client, simulator):
    simulator.bump("timestamp", signers=simulator.signers["snapshot"])

    with pytest.raises(UntrustedError):
        client.refresh()


def test_a_chain_of_roots_is_followed_one_by_one(client, simulator, server):
    for _ in range(3):
        former = simulator.signers["root"]
        simulator.replace_keys("root")
        simulator.bump("root", signers=[*former, *simulator.signers["root"]])

    client.refresh()

    asked = [path for path, _ in server.requests if "root" in path]
    assert asked == [f"/metadata/{version}.root.json" for version in (2, 3, 4, 5)]
    assert client.trusted("root") == served(simulator, "root")


@pytest.mark.parametrize("missing", ["former", "new"])
def test_a_root_is_followed_only_when_old_and_new_keys_agree(
    client, simulator, missing
):
    former = simulator.signers["root"]
    simulator.replace_keys("root")
    new = simulator.signers["root"]
    simulator.bump("root", signers=new if missing == "former" else former)

    with pytest.raises(UntrustedError):
        client.refresh()
    assert client.trusted("root") == simulator.root_bytes


def test_a_root_that_skips_a_version_is_refused(client, simulator):
    simulator.signed["root"].version += 2
    simulator.write("root")
    (simulator.metadata / "3.root.json").rename(simulator.metadata / "2.root.json")

    with pytest.raises(UntrustedError, match="version"):
        client.refresh()


def test_the_chain_of_roots_ends_at_a_403_too(client, server):
    server.faults.forbid_missing = True

    client.refresh()


# Delegations


def test_a_diamond_is_checked_against_the_second_delegator_too(client, simulator):
    """`shared` is reached by A, which vouches for its key, and by B, which does not."""
    simulator.delegate("A", paths=["a/*"])
    simulator.delegate("B", paths=["b/*"])
    simulator.delegate("shared", "A", paths=["a/*"])
    simulator.delegate("shared", "B", paths=["b/*"])
    simulator.add_target("a/file", b"a", "shared")
    simulator.add_target("b/file", b"b", "shared")
    delegations = simulator.signed["B"].delegations
    stranger = CryptoSigner.generate_ed25519()
    keyid = simulator.signers["shared"][0].public_key.keyid
    simulator.signed["B"].revoke_key(keyid, "shared")
    simulator.signed["B"].add_key(stranger.public_key, "shared")
    assert keyid not in delegations.keys
    simulator.publish("A", "B", "shared", "targets")

    assert client.fetch("a/file") == [b"a"]
    with pytest.raises(UntrustedError):
        client.fetch("a/file", "b/file")


def test_a_role_vouches_only_for_the_paths_that_it_was_given(client, simulator):
    simulator.delegate("role", paths=["in/*"])
    simulator.add_target("out/file", b"out", "role")
    simulator.publish("role", "targets")

    assert client.fetch("out/file") == [None]


def test_delegations_in_a_circle_end(client, simulator):
    simulator.delegate("A")
    simulator.delegate("B", "A")
    simulator.delegate("A", "B")
    simulator.publish("A", "B", "targets")

    assert client.fetch("nowhere") == [None]


def test_delegations_without_end_are_given_up(client, simulator, server):
    roles = ["targets", *(f"role-{number}" for number in range(40))]
    for delegator, role in pairwise(roles):
        simulator.delegate(role, delegator)
    simulator.publish(*roles)
    client.refresh()
    server.requests.clear()

    assert client.fetch("nowhere") == [None]
    assert len(server.requests) < 36


def test_a_delegated_role_that_lost_its_key_is_refused(client, simulator):
    simulator.delegate("role")
    simulator.add_target("role-file", b"x", "role")
    simulator.publish("role", "targets")
    assert client.fetch("role-file") == [b"x"]
    former = simulator.signers["role"]
    simulator.replace_keys("role", delegator="targets")
    simulator.publish("targets")
    simulator.bump("role", signers=former)
    simulator.publish("snapshot")

    with pytest.raises(UntrustedError):
        client.fetch("role-file")


# Metadata that is signed as it should be, and nonsense


def sign_anew(simulator, role, change):
    """Change what `role` says, beyond what python-tuf would write, and sign it."""
    simulator.publish(role)
    path = simulator.file(role)
    signed = json.loads(path.read_bytes())["signed"]
    change(signed)
    body = encode_canonical(signed).encode()
    signatures = [signer.sign(body).to_dict() for signer in simulator.signers[role]]
    path.write_text(json.dumps({"signed": signed, "signatures": signatures}))


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0),
        ("version", "3"),
        ("_type", "mirrors"),
        ("_type", [1]),
        ("spec_version", "2.0.0"),
        ("spec_version", 1),
        ("expires", "2099-01-01"),
        ("expires", "2099-01-01T00:00:00+00:00"),
        ("expires", None),
    ],
)
def test_a_field_of_another_form_is_refused(client, simulator, role, field, value):
    sign_anew(simulator, role, lambda signed: signed.update({field: value}))

    with pytest.raises(UntrustedError):
        client.refresh()


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_fields_that_nobody_knows_are_signed_and_passed_over(client, simulator, role):
    sign_anew(simulator, role, lambda signed: signed.update(later={"a": [None, True]}))

    assert client.fetch("file") == [b"content"]


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0}, {"threshold": -1}, {"threshold": 9}, {"keyids": []}],
    ids=str,
)
def test_a_role_that_nobody_can_sign_for_is_trusted_no_more(client, simulator, change):
    sign_anew(simulator, "root", lambda root: root["roles"]["timestamp"].update(change))

    with pytest.raises(UntrustedError):
        client.refresh()


def test_a_key_that_cannot_be_read_is_a_refusal_and_no_crash(client, simulator):
    """python-tuf alone would end with a TypeError."""
    strange = {"keytype": "rsa", "scheme": "pgp+rsa-pkcsv1.5"}

    def change(root):
        root["keys"]["strange"] = {**strange, "keyval": {"public": "x"}}
        root["roles"]["timestamp"]["keyids"].append("strange")

    sign_anew(simulator, "root", change)
    path = simulator.metadata / "timestamp.json"
    timestamp = json.loads(path.read_bytes())
    timestamp["signatures"].append({"keyid": "strange", "sig": "00" * 64})
    path.write_text(json.dumps(timestamp))

    with pytest.raises(UntrustedError, match="cannot be read"):
        client.refresh()


@pytest.mark.parametrize("name", [5, "", "targets", "timestamp"])
def test_a_role_of_an_impossible_name_is_a_refusal_and_no_crash(
    client, simulator, name
):
    simulator.delegate("role")
    simulator.publish("role")
    rename = lambda targets: targets["delegations"]["roles"][0].update(name=name)  # noqa: E731
    sign_anew(simulator, "targets", rename)

    with pytest.raises(UntrustedError):
        client.fetch("nowhere")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"hashes": {}}, UntrustedError),
        ({"hashes": {"md5": "9a0364b9e99bb480dd25e1f0284c8555"}}, UnavailableError),
        ({"hashes": {"sha256": "../../file"}}, UnavailableError),
        ({"length": 0}, UntrustedError),
        ({"length": -1}, UntrustedError),
        ({"length": 2**70}, UntrustedError),
        ({"length": "7"}, UntrustedError),
    ],
    ids=str,
)
def test_a_target_without_a_hash_and_a_length_is_not_read(
    client, simulator, change, error
):
    sign_anew(
        simulator, "targets", lambda signed: signed["targets"]["file"].update(change)
    )

    with pytest.raises(error):
        client.fetch("file")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("", b"x"), ("fd", b"x"), ("7", None), ("FD", None)],
)
def test_hash_prefixes_are_given_as_paths_are(client, simulator, prefix, expected):
    simulator.delegate("role")
    simulator.add_target("in/f", b"x", "role")
    simulator.publish("role")

    def change(targets):
        role = targets["delegations"]["roles"][0]
        del role["paths"]
        role["path_hash_prefixes"] = [prefix]

    sign_anew(simulator, "targets", change)

    assert client.fetch("in/f") == [expected]


# What stands on the gateway's own disk


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: replace_by_file(state / "trust"),
        lambda state: replace_by_file(state / "trusted"),
        lambda state: replace_by_file(state / "trust" / "scratch"),
        lambda state: replace_by_link(state / "trusted", "trusted"),
        lambda state: replace_by_link(state / "trusted", "/etc"),
        lambda state: replace_by_folder(state / "trusted"),
        lambda state: replace_by_folder(state / "trust" / "1" / "timestamp.json"),
        lambda state: replace_by_folder(state / "trust" / "1" / "root.json"),
        lambda state: replace_by_file(state / "trust" / "1" / "root_history"),
        lambda state: os.mkfifo(state / "trust" / "1" / "pipe.json"),
    ],
    ids=[
        *("trust is a file", "trusted is a file", "scratch is a file"),
        *("trusted is a circle", "trusted leads away", "trusted is a folder"),
        *("timestamp is a folder", "root is a folder", "no history", "a pipe"),
    ],
)
def test_whatever_stands_in_the_way_on_the_disk_the_next_look_goes_on(
    client, simulator, damage
):
    client.refresh()

    damage(client.repository.state_dir)
    simulator.publish("timestamp")

    for _ in range(2):
        assert client.fetch("file") == [b"content"]
        assert client.trusted("timestamp") == served(simulator, "timestamp")
        assert client.repository.metadata_dir.is_symlink()


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def replace_by_file(path):
    remove(path)
    path.write_bytes(b"x")


def replace_by_folder(path):
    remove(path)
    path.mkdir()
    (path / "x").write_bytes(b"x")


def replace_by_link(path, points_to):
    remove(path)
    path.symlink_to(points_to)
