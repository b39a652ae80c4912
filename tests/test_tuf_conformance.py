"""What theupdateframework/tuf-conformance asks of a client, case by case.

Each test names the case that it is the counterpart of; what `test_tuf_client.py`
holds already is not here again. Theirs are driven by their own simulator and by
`faketime`, ours by `tuf_simulator.py` and `wall_clock.py`.

Source: theupdateframework/tuf-conformance, tuf_conformance/test_*.py
"""

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Key

from tests.tuf_repository import RepositoryServer
from tests.tuf_simulator import TufSimulator, now
from tests.tuf_suite import Suite

DAY = timedelta(days=1)
TOP = {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}


@pytest.fixture
def simulator(tmp_path):
    return TufSimulator(tmp_path / "repository")


@pytest.fixture
def suite(tmp_path, simulator):
    folder = tmp_path / "suite"
    folder.mkdir()
    server = RepositoryServer(simulator.folder)
    yield Suite(folder, server)
    server.stop()


@pytest.fixture
def begun(suite, simulator):
    """A client that has refreshed once."""
    assert suite.init(simulator.root_bytes) == 0
    assert suite.refresh() == 0
    suite.asked()
    return suite


# test_basic.py


def test_a_root_without_a_version_is_good_for_nothing(suite, simulator):
    """Of test_invalid_initial_root."""
    root = json.loads(simulator.root_bytes)
    del root["signed"]["version"]
    suite.init(json.dumps(root).encode())

    assert suite.refresh() == 1
    assert suite.asked() == []


def test_a_root_with_another_signature_is_good_for_nothing(suite, simulator):
    """Of test_unsigned_initial_root."""
    root = json.loads(simulator.root_bytes)
    root["signatures"][0]["sig"] = "3045" + "00" * 69
    suite.init(json.dumps(root).encode())

    assert suite.refresh() == 1
    assert suite.asked() == []


@pytest.mark.parametrize(
    ("role", "namer", "trusted"),
    [
        ("root", None, {"root"}),
        ("timestamp", None, {"root"}),
        ("snapshot", "timestamp", {"root", "timestamp"}),
        ("targets", "snapshot", {"root", "timestamp", "snapshot"}),
    ],
)
def test_a_refresh_goes_as_far_as_what_is_signed(
    suite, simulator, role, namer, trusted
):
    """Of test_unsigned_metadata."""
    simulator.bump(role, signers=[])
    if namer:
        simulator.publish(namer)
    suite.init(simulator.root_bytes)

    assert suite.refresh() == 1
    assert set(suite.trusted()) == trusted


def test_a_timestamp_that_changed_without_a_new_version_is_not_kept(begun, simulator):
    """Of test_timestamp_content_changes and test_timestamp_eq_versions_check."""
    before = (begun.metadata_dir / "timestamp.json").read_bytes()
    simulator.signed["timestamp"].snapshot_meta.version = 100
    simulator.write("timestamp")

    assert begun.refresh() == 0
    assert begun.asked()[-1] == "timestamp.json"
    assert (begun.metadata_dir / "timestamp.json").read_bytes() == before


def test_metadata_of_another_hash_than_named_is_refused(suite, simulator):
    """Of test_basic_metadata_hash_support and test_new_targets_hash_mismatch."""
    simulator.with_hashes = True
    simulator.publish("targets")
    suite.init(simulator.root_bytes)
    assert suite.refresh() == 0
    simulator.bump("targets")
    simulator.signed["snapshot"].meta["targets.json"].hashes["sha256"] = "4641" * 16
    simulator.publish("snapshot")

    assert suite.refresh() == 1
    assert suite.trusted()["snapshot"] == 3
    assert suite.trusted()["targets"] == 2


def test_targets_that_no_snapshot_names_are_not_asked_for(begun, simulator):
    """Of test_new_targets_version_mismatch."""
    simulator.bump("targets")

    assert begun.refresh() == 0
    assert begun.trusted() == TOP
    assert begun.asked()[-1] == "timestamp.json"


def test_fields_that_nobody_knows_belong_to_what_is_signed(begun, simulator):
    """Of test_custom_fields."""
    root = simulator.signed["root"]
    root.unrecognized_fields["custom-field"] = "value"
    root.roles["root"].unrecognized_fields["another-field"] = "value"
    key = root.keys[root.roles["root"].keyids[0]]
    key.unrecognized_fields["extra-field"] = {"a": 1, "b": 2}
    simulator.bump("root")

    assert begun.refresh() == 0
    assert begun.trusted()["root"] == 2


# test_keys.py


def test_a_key_that_signs_nothing_counts_for_nothing(begun, simulator):
    """Of test_root_has_keys_but_not_snapshot and test_snapshot_threshold."""
    for _ in range(4):
        simulator.add_key("snapshot")
    simulator.set_threshold("snapshot", 5)
    simulator.publish("root", "snapshot")
    assert begun.refresh() == 0
    stranger = CryptoSigner.generate_ed25519().public_key
    simulator.signed["root"].add_key(stranger, "snapshot")
    simulator.set_threshold("snapshot", 6)
    simulator.publish("root", "snapshot")

    assert begun.refresh() == 1
    assert begun.trusted()["root"] == 3
    assert begun.trusted()["snapshot"] == 2


def test_a_hashing_algorithm_beside_a_key_means_nothing(begun, simulator):
    """Of test_wrong_hashing_algorithm."""
    root = simulator.signed["root"]
    key = root.keys[root.roles["snapshot"].keyids[0]]
    key.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]
    simulator.publish("root", "snapshot")

    assert begun.refresh() == 0
    assert begun.trusted()["snapshot"] == 2


def test_one_key_under_ten_ids_is_one_key(begun, simulator):
    """Of test_duplicate_keys_root."""
    private = ec.generate_private_key(ec.SECP256R1())
    key = CryptoSigner(private).public_key
    for number in range(9):
        other = {**key.to_dict(), "x": number}
        named = Key.from_dict(f"{number}" * 64, other)
        simulator.signed["root"].add_key(named, "snapshot")
        simulator.signers["snapshot"].append(CryptoSigner(private, named))
    simulator.set_threshold("snapshot", 6)
    simulator.publish("root", "snapshot")

    assert begun.refresh() == 1
    assert begun.trusted()["snapshot"] == 1


# test_rollback.py


def test_a_snapshot_gone_back_is_not_asked_for(begun, simulator):
    """Of test_simple_snapshot_rollback."""
    simulator.publish("snapshot")
    assert begun.refresh() == 0
    (simulator.metadata / "2.snapshot.json").write_bytes(
        (simulator.metadata / "1.snapshot.json").read_bytes()
    )

    assert begun.refresh() == 0
    assert begun.trusted()["snapshot"] == 2
    assert begun.asked()[-1] == "timestamp.json"


def test_a_timestamp_gone_back_is_refused(begun, simulator):
    """Of test_new_timestamp_version_rollback."""
    saved = simulator.save()
    simulator.publish("timestamp")
    assert begun.refresh() == 0
    simulator.restore(saved)

    assert begun.refresh() == 1
    assert begun.trusted()["timestamp"] == 2
    assert begun.asked()[-1] == "timestamp.json"


@pytest.mark.parametrize("with_hashes", [False, True], ids=["basic", "with hashes"])
def test_a_timestamp_that_names_an_older_snapshot_is_refused(
    suite, simulator, with_hashes
):
    """Of test_snapshot_rollback."""
    simulator.with_hashes = with_hashes
    simulator.publish("snapshot")
    suite.init(simulator.root_bytes)
    assert suite.refresh() == 0
    simulator.signed["snapshot"].version = 1
    simulator.write("snapshot")
    simulator.bump("timestamp")

    assert suite.refresh() == 1
    assert suite.trusted()["timestamp"] == 2
    assert suite.trusted()["snapshot"] == 2
    assert suite.asked()[-1] == "timestamp.json"


@pytest.mark.parametrize("with_hashes", [False, True], ids=["basic", "with hashes"])
def test_a_snapshot_that_names_older_targets_is_refused(suite, simulator, with_hashes):
    """Of test_targets_rollback."""
    simulator.with_hashes = with_hashes
    simulator.publish("targets")
    simulator.publish("targets")
    suite.init(simulator.root_bytes)
    assert suite.refresh() == 0
    simulator.signed["targets"].version = 1
    simulator.publish("targets")

    assert suite.refresh() == 1
    assert suite.trusted()["snapshot"] == 3
    assert suite.trusted()["targets"] == 3


@pytest.mark.parametrize(
    ("role", "replaced"),
    [
        ("targets", ["snapshot"]),
        ("snapshot", ["snapshot", "timestamp"]),
        ("timestamp", ["timestamp"]),
    ],
)
def test_versions_run_ahead_go_back_with_the_key(suite, simulator, role, replaced):
    """Of test_new_{targets,snapshot,timestamp}_fast_forward_recovery."""
    suite.init(simulator.root_bytes)
    simulator.signed[role].version = 99_999
    simulator.publish(role)
    assert suite.refresh() == 0
    assert suite.trusted()[role] == 100_000
    simulator.replace_keys(*replaced)
    simulator.signed[role].version = 0
    simulator.publish("root", role)

    assert suite.refresh() == 0
    assert suite.trusted()[role] == 1


def test_a_snapshot_of_another_version_than_named_is_refused(suite, simulator):
    """Of test_new_snapshot_version_mismatch."""
    simulator.publish("snapshot")
    (simulator.metadata / "2.snapshot.json").write_bytes(
        (simulator.metadata / "1.snapshot.json").read_bytes()
    )
    suite.init(simulator.root_bytes)

    assert suite.refresh() == 1
    assert set(suite.trusted()) == {"root", "timestamp"}
    assert suite.asked()[-1] == "2.snapshot.json"


# test_expiration.py


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_what_has_expired_is_not_followed(begun, simulator, role):
    """Of test_{root,timestamp,snapshot,targets}_expired."""
    simulator.signed[role].expires = now() - 5 * DAY
    simulator.publish(role)

    assert begun.refresh() == 1
    # 5.3.10: a root is kept before it is looked at.
    assert begun.trusted()[role] == (2 if role == "root" else 1)


def test_what_expired_here_still_leads_to_what_is_new(suite, simulator):
    """Of test_expired_metadata."""
    simulator.signed["timestamp"].expires = now() + 7 * DAY
    simulator.bump("timestamp")
    suite.init(simulator.root_bytes)
    assert suite.refresh() == 0
    simulator.signed["timestamp"].expires = now() + 21 * DAY
    simulator.publish("targets")

    assert suite.refresh(at=now() + 18 * DAY) == 0
    assert suite.trusted() == {"root": 1, "timestamp": 3, "snapshot": 2, "targets": 2}


# test_delegated_expiration.py


@pytest.fixture
def delegated(simulator):
    """A delegated role with two targets, which expires in a week."""
    simulator.delegate("delegated", paths=["in/*"])
    simulator.add_target("in/first", b"first", "delegated")
    simulator.add_target("in/second", b"second", "delegated")
    simulator.signed["delegated"].expires = now() + 7 * DAY
    return simulator


def test_a_delegated_role_that_has_expired_vouches_for_nothing(suite, delegated):
    """Of test_delegated_targets_expired."""
    delegated.signed["delegated"].expires = now() - DAY
    delegated.publish("delegated", "targets")
    suite.init(delegated.root_bytes)

    assert suite.refresh() == 0
    assert suite.download("in/first") == 1
    assert suite.downloaded() == []
    assert "delegated" not in suite.trusted()


def test_a_delegated_role_that_expires_here_vouches_for_nothing_more(suite, delegated):
    """Of test_expired_local_delegated_targets."""
    delegated.publish("delegated", "targets")
    suite.init(delegated.root_bytes)
    assert suite.download("in/first") == 0

    assert suite.download("in/second", at=now() + 18 * DAY) == 1
    assert suite.downloaded() == [b"first"]


def test_a_delegated_role_that_expired_here_is_replaced_by_a_newer(suite, delegated):
    """Of test_expired_local_delegated_targets_updates."""
    delegated.publish("delegated", "targets")
    suite.init(delegated.root_bytes)
    assert suite.download("in/first") == 0
    delegated.signed["delegated"].expires = now() + 21 * DAY
    delegated.publish("delegated")

    assert suite.download("in/second", at=now() + 18 * DAY) == 0
    assert suite.downloaded() == [b"first", b"second"]


# test_file_download.py


def test_a_refresh_downloads_nothing_and_a_download_what_it_was_asked(begun, simulator):
    """Of test_client_downloads_expected_file, also in a folder."""
    for path in ("target_file.txt", "path/to/a/target_file.txt"):
        simulator.add_target(path, path.encode())
    simulator.publish("targets")
    assert begun.refresh() == 0
    assert begun.downloaded() == []

    assert begun.download("target_file.txt") == 0
    assert begun.downloaded() == [b"target_file.txt"]
    assert begun.download("path/to/a/target_file.txt") == 0
    assert len(begun.downloaded()) == 2


def test_other_bytes_in_place_of_a_target_are_refused(begun, simulator):
    """Of test_repository_substitutes_target_file."""
    for path in ("one", "two"):
        simulator.add_target(path, path.encode())
    simulator.publish("targets")
    assert begun.download("one") == 0
    for path in ("one", "two"):
        digest = simulator.signed["targets"].targets[path].hashes["sha256"]
        simulator.store(path, b"malicious", digest)

    begun.download("one")
    assert begun.downloaded() == [b"one"]
    assert begun.download("two") == 1
    assert begun.downloaded() == [b"one"]


def test_a_target_is_followed_through_many_changes(begun, simulator):
    """Of test_multiple_changes_to_target."""
    for number in range(10):
        content = f"contents {number}".encode()
        simulator.add_target("file", content)
        simulator.publish("targets")
        if number % 4:
            continue
        assert begun.download("file") == 0
        assert begun.downloaded() == [content]
        digest = simulator.signed["targets"].targets["file"].hashes["sha256"]
        simulator.store("file", b"malicious", digest)
        simulator.publish("targets")
        begun.download("file")
        assert begun.downloaded() == [content]


# test_updater_delegation_graphs.py


@dataclass(frozen=True)
class Edge:
    delegator: str
    role: str
    paths: tuple[str, ...] = ("*",)
    terminating: bool = False


PY = ("*.py",)
GRAPHS = {
    "basic-delegation": ([Edge("targets", "A")], "A"),
    "single-level-delegations": ([Edge("targets", "A"), Edge("targets", "B")], "AB"),
    "two-level-delegations": (
        [Edge("targets", "A"), Edge("targets", "B"), Edge("B", "C")],
        "ABC",
    ),
    "two-level-test-DFS-order-of-traversal": (
        [Edge("targets", "A"), Edge("targets", "B"), Edge("A", "C"), Edge("A", "D")],
        "ACDB",
    ),
    "three-level-delegation-test-DFS-order-of-traversal": (
        [Edge("targets", "A"), Edge("targets", "B"), Edge("A", "C"), Edge("C", "D")],
        "ACDB",
    ),
    "two-level-terminating-ignores-all-but-roles-descendants": (
        [
            Edge("targets", "A"),
            Edge("targets", "B"),
            Edge("A", "C", terminating=True),
            Edge("A", "D"),
        ],
        "AC",
    ),
    "three-level-terminating-ignores-all-but-roles-descendants": (
        [
            Edge("targets", "A"),
            Edge("targets", "B"),
            Edge("A", "C", terminating=True),
            Edge("C", "D"),
        ],
        "ACD",
    ),
    "two-level-ignores-all-branches-not-matching-paths": (
        [Edge("targets", "A", PY), Edge("targets", "B"), Edge("A", "C")],
        "B",
    ),
    "three-level-ignores-all-branches-not-matching-paths": (
        [
            Edge("targets", "A"),
            Edge("targets", "B"),
            Edge("A", "C", PY),
            Edge("C", "D"),
        ],
        "AB",
    ),
    "cyclic-graph": (
        [
            Edge("targets", "A"),
            Edge("targets", "B"),
            Edge("B", "C"),
            Edge("C", "D"),
            Edge("D", "B"),
        ],
        "ABCD",
    ),
    "two-roles-delegating-to-a-third": (
        [Edge("targets", "A"), Edge("targets", "B"), Edge("B", "C"), Edge("A", "C")],
        "ACB",
    ),
    "two-roles-delegating-to-a-third-different-paths": (
        [
            Edge("targets", "A"),
            Edge("targets", "B"),
            Edge("B", "C"),
            Edge("A", "C", PY),
        ],
        "ABC",
    ),
}


def delegate(simulator, edges):
    """Build a graph; every role in it is written once."""
    for edge in edges:
        simulator.delegate(
            edge.role,
            edge.delegator,
            paths=edge.paths,
            terminating=edge.terminating,
        )
    return sorted({edge.role for edge in edges})


@pytest.mark.parametrize(("edges", "visited"), GRAPHS.values(), ids=GRAPHS)
def test_roles_are_visited_depth_first(suite, simulator, edges, visited):
    """Of test_graph_traversal."""
    roles = delegate(simulator, edges)
    simulator.publish(*roles, "targets")
    suite.init(simulator.root_bytes)

    assert suite.download("missingpath") == 1
    assert suite.asked()[4:] == [f"1.{role}.json" for role in visited]


TREE = [
    Edge("targets", "A", ("*.doc", "*.md")),
    Edge("targets", "B", ("releases/*/*",)),
    Edge("B", "C", ("releases/x/*",)),
    Edge("B", "D", ("releases/y/*.zip",)),
]


@pytest.mark.parametrize(
    ("path", "owner", "visited"),
    [
        ("targetfile", "targets", ""),
        ("README.md", "A", "A"),
        ("releases/x/x_v1", "C", "BC"),
        ("releases/y/y_v1.zip", "D", "BD"),
        ("releases/z/z_v1.zip", "D", "B"),
    ],
    ids=["no delegations", "wildcard", "separators x", "separators y", "not by all"],
)
def test_a_target_is_found_where_every_role_of_the_chain_delegates_it(
    suite, simulator, path, owner, visited
):
    """Of test_targetfile_search."""
    roles = delegate(simulator, TREE)
    simulator.add_target(path, b"content", owner)
    simulator.publish(*roles, "targets")
    suite.init(simulator.root_bytes)
    is_found = path != "releases/z/z_v1.zip"

    assert suite.download(path) == (0 if is_found else 1)
    assert suite.downloaded() == [b"content"] * is_found
    asked = [name for name in suite.asked()[4:] if name]
    assert asked == [f"1.{role}.json" for role in visited]


# test_updater_key_rotations.py


@dataclass(frozen=True)
class Step:
    """Which keys a role has, and which of them sign."""

    keys: str
    threshold: int
    signers: str


ROOT_STEPS = {
    "1-of-1-key-rotation": [Step("1", 1, "1"), Step("2", 1, "21"), Step("2", 1, "2")],
    "1-of-1-key-rotation-unused-signatures": [
        Step("1", 1, "314"),
        Step("2", 1, "3214"),
        Step("2", 1, "324"),
    ],
    "3-of-5-sign-with-different-keycombos": [
        Step("01234", 3, "024"),
        Step("01234", 3, "041"),
        Step("01234", 3, "013"),
        Step("01234", 3, "013"),
    ],
    "3-of-5-one-key-rotated": [Step("01234", 3, "024"), Step("01345", 3, "041")],
    "3-of-5-one-key-rotated-with-intermediate-step": [
        Step("01234", 3, "024"),
        Step("01345", 3, "0245"),
        Step("01345", 3, "045"),
    ],
    "3-of-5-all-keys-rotated-with-intermediate-step": [
        Step("01234", 3, "024"),
        Step("56789", 3, "024567"),
        Step("56789", 3, "567"),
    ],
    "1-of-3-threshold-increase-to-2-of-3": [Step("123", 1, "1"), Step("123", 2, "12")],
    "2-of-3-threshold-decrease-to-1-of-3": [
        Step("123", 2, "12"),
        Step("123", 1, "12"),
        Step("123", 1, "1"),
    ],
    "1-of-2-threshold-increase-to-2-of-2": [Step("1", 1, "1"), Step("12", 2, "12")],
    "1-of-1-key-rotation-fail-not-signed-with-old-key": [
        Step("1", 1, "1"),
        Step("2", 1, "234"),
    ],
    "1-of-1-key-rotation-fail-not-signed-with-new-key": [
        Step("1", 1, "1"),
        Step("2", 1, "134"),
    ],
    "3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys": [
        Step("01234", 3, "024"),
        Step("01345", 3, "024"),
    ],
    "3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys": [
        Step("01234", 3, "024"),
        Step("01345", 3, "045"),
    ],
    "1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-reached": [
        Step("123", 1, "1"),
        Step("123", 2, "2"),
    ],
    "2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-reached": [
        Step("123", 2, "12"),
        Step("123", 1, "1"),
    ],
}
OTHER_STEPS = {
    "1-of-1-key-rotation": Step("2", 1, "2"),
    "1-of-1-key-rotation-unused-signatures": Step("1", 1, "314"),
    "1-of-1-key-rotation-fail-not-signed-with-new-key": Step("2", 1, "134"),
    "3-of-5-one-key-signature-wrong-fail-not-signed-with-3-expected-keys": Step(
        "01345", 3, "024"
    ),
    "2-of-5-one-key-signature-missing-fail-threshold-not-reached": Step(
        "01345", 3, "04"
    ),
    "3-of-5-sign-first-combo": Step("01234", 3, "024"),
    "3-of-5-sign-second-combo": Step("01234", 3, "041"),
    "3-of-5-sign-third-combo": Step("01234", 3, "013"),
    "3-of-5-sign-fourth-combo": Step("01234", 3, "123"),
    "3-of-5-sign-fifth-combo": Step("01234", 3, "234"),
}


@pytest.fixture(scope="module")
def people():
    """Ten keys."""
    return [CryptoSigner.generate_ed25519() for _ in range(10)]


def take(simulator, role, step, people):
    """Give a role the keys of a step, and let those sign who do."""
    root = simulator.signed["root"]
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for number in step.keys:
        root.add_key(people[int(number)].public_key, role)
    root.roles[role].threshold = step.threshold
    simulator.signers[role] = [people[int(number)] for number in step.signers]


@pytest.mark.parametrize("name", ROOT_STEPS)
def test_roots_follow_one_another(suite, simulator, people, name):
    """Of test_root_rotation."""
    steps = ROOT_STEPS[name]
    simulator.signed["root"].version = 0
    for step in steps:
        take(simulator, "root", step, people)
        simulator.bump("root")
    suite.init(simulator.root_bytes)
    reached = len(steps) - ("fail" in name)

    assert suite.refresh() == (1 if "fail" in name else 0)
    assert suite.trusted()["root"] == reached
    expected = (simulator.metadata / f"{reached}.root.json").read_bytes()
    assert (suite.metadata_dir / "root.json").read_bytes() == expected


@pytest.mark.parametrize("name", OTHER_STEPS)
def test_other_roles_follow_their_keys(begun, simulator, people, name):
    """Of test_non_root_rotations."""
    for role in ("timestamp", "snapshot", "targets"):
        take(simulator, role, OTHER_STEPS[name], people)
        simulator.publish("root", role)

        assert begun.refresh() == (1 if "fail" in name else 0)
        is_new = begun.trusted().get(role) == simulator.signed[role].version
        assert is_new is ("fail" not in name)
