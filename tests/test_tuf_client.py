"""`tests/tuf_client` through its command line, as a public TUF suite would drive it."""

import subprocess
from datetime import timedelta

import pytest

from tests.tuf_repository import RepositoryServer
from tests.tuf_simulator import TufSimulator, now
from tests.tuf_suite import COMMAND, Suite


@pytest.fixture
def simulator(tmp_path):
    return TufSimulator(tmp_path / "repository")


@pytest.fixture
def server(simulator):
    server = RepositoryServer(simulator.folder)
    yield server
    server.stop()


@pytest.fixture
def suite(tmp_path, server):
    folder = tmp_path / "suite"
    folder.mkdir()
    return Suite(folder, server)


def test_the_command_does_so_in_processes_of_its_own(tmp_path, server, simulator):
    simulator.add_target("file", b"content")
    simulator.publish("targets")
    suite = Suite(tmp_path, server, command=[COMMAND])

    assert suite.init(simulator.root_bytes) == 0
    assert suite.refresh() == 0
    assert suite.download("file") == 0
    assert suite.download("nowhere") == 1
    assert suite.downloaded() == [b"content"]


def test_init_trusts_the_root_and_asks_nobody(suite, simulator):
    assert suite.init(simulator.root_bytes) == 0

    assert suite.trusted() == {"root": 1}
    assert suite.asked() == []


def test_a_root_that_is_not_signed_by_itself_is_good_for_nothing(suite, simulator):
    simulator.write("root", signers=[])
    suite.init(simulator.root_bytes)

    assert suite.refresh() == 1
    assert suite.asked() == []


def test_refresh_follows_the_workflow_and_shows_what_is_trusted(suite, simulator):
    suite.init(simulator.root_bytes)

    assert suite.refresh() == 0

    assert suite.asked() == [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ]
    assert suite.trusted() == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
    shown = (suite.metadata_dir / "timestamp.json").read_bytes()
    assert shown == (simulator.metadata / "timestamp.json").read_bytes()


def test_a_download_refreshes_and_leaves_the_finished_file_alone(suite, simulator):
    simulator.add_target("path/to/file", b"content")
    simulator.publish("targets")
    suite.init(simulator.root_bytes)

    assert suite.download("path/to/file") == 0

    assert suite.downloaded() == [b"content"]
    assert suite.trusted()["targets"] == 2


def test_what_is_there_and_matches_is_not_fetched_again(suite, simulator, server):
    simulator.add_target("file", b"content")
    simulator.publish("targets")
    suite.init(simulator.root_bytes)
    suite.download("file")
    server.requests.clear()

    assert suite.download("file") == 0
    assert [path for path, _ in server.requests if "/targets/" in path] == []


def test_a_target_that_changed_takes_the_place_of_the_former(suite, simulator):
    simulator.add_target("file", b"content")
    simulator.publish("targets")
    suite.init(simulator.root_bytes)
    suite.download("file")
    simulator.add_target("file", b"changed")
    simulator.publish("targets")

    assert suite.download("file") == 0
    assert suite.downloaded() == [b"changed"]


def test_downloads_stop_at_the_first_that_fails(suite, simulator):
    for name in ("a", "b", "c"):
        simulator.add_target(name, name.encode())
    simulator.publish("targets")
    digest = simulator.signed["targets"].targets["b"].hashes["sha256"]
    simulator.store("b", b"B", digest)
    suite.init(simulator.root_bytes)

    assert suite.download("a", "b", "c") == 1
    assert suite.downloaded() == [b"a"]


def test_an_empty_target_is_a_target(suite, simulator):
    simulator.add_target("empty", b"")
    simulator.publish("targets")
    suite.init(simulator.root_bytes)

    assert suite.download("empty") == 0
    assert suite.downloaded() == [b""]


def test_a_target_that_nobody_knows_fails_after_a_refresh(suite, simulator):
    suite.init(simulator.root_bytes)

    assert suite.download("nowhere") == 1
    assert suite.trusted() == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}


def test_what_was_verified_before_a_refusal_is_trusted(suite, simulator):
    simulator.bump("snapshot", signers=[])
    simulator.bump("timestamp")
    suite.init(simulator.root_bytes)

    assert suite.refresh() == 1
    assert suite.trusted() == {"root": 1, "timestamp": 2}


@pytest.mark.parametrize("role", ["?", "#", "/role", "../role"])
def test_a_role_of_any_name_is_quoted(suite, simulator, role):
    simulator.delegate(role)
    simulator.publish(role, "targets")
    suite.init(simulator.root_bytes)

    assert suite.download("nowhere") == 1
    assert len(suite.trusted()) == 5
    assert suite.asked()[-1] == f"1.{role}.json"


def test_a_graph_of_delegations_is_walked_depth_first(suite, simulator):
    for role, delegator in (("A", "targets"), ("B", "targets"), ("C", "A"), ("D", "C")):
        simulator.delegate(role, delegator, terminating=role == "C")
    simulator.publish("A", "B", "C", "D", "targets")
    suite.init(simulator.root_bytes)

    assert suite.download("nowhere") == 1
    assert suite.asked()[4:] == ["1.A.json", "1.C.json", "1.D.json"]


def test_one_updater_checks_a_shared_role_against_each_delegator(suite, simulator):
    for parent in ("A", "B"):
        simulator.delegate(parent, paths=[f"{parent}/*"])
        simulator.delegate("shared", parent, paths=[f"{parent}/*"])
        simulator.add_target(f"{parent}/file", parent.encode(), "shared")
    keyid = simulator.signers["shared"][0].public_key.keyid
    simulator.signed["B"].revoke_key(keyid, "shared")
    simulator.publish("A", "B", "shared", "targets")
    suite.init(simulator.root_bytes)

    assert suite.download("A/file", "B/file") == 1
    assert suite.downloaded() == [b"A"]


def test_a_signature_too_few_after_a_key_was_added_leaves_the_snapshot(
    suite, simulator
):
    suite.init(simulator.root_bytes)
    suite.refresh()
    simulator.add_key("snapshot")
    simulator.set_threshold("snapshot", 3)
    simulator.publish("root", "snapshot")

    assert suite.refresh() == 1
    assert suite.trusted()["root"] == 2
    assert suite.trusted()["snapshot"] == 1


def test_a_key_replaced_after_a_fast_forward_frees_the_client(suite, simulator):
    suite.init(simulator.root_bytes)
    simulator.signed["snapshot"].version = 99_999
    simulator.publish("snapshot")
    suite.refresh()
    simulator.signed["snapshot"].version = 0
    simulator.replace_keys("snapshot")
    simulator.publish("root", "snapshot")

    assert suite.refresh() == 0
    assert suite.trusted()["snapshot"] == 1


def test_an_expired_role_is_refused_and_not_kept(suite, simulator):
    suite.init(simulator.root_bytes)
    suite.refresh()
    simulator.signed["timestamp"].expires = now() - timedelta(days=5)
    simulator.publish("timestamp")

    assert suite.refresh() == 1
    assert suite.trusted()["timestamp"] == 1


def test_trusted_files_that_were_damaged_are_fetched_again(suite, simulator):
    suite.init(simulator.root_bytes)
    suite.refresh()
    for path in suite.metadata_dir.glob("*.json"):
        path.write_bytes(b"")

    assert suite.refresh() == 0
    assert suite.trusted() == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}


@pytest.mark.parametrize(
    "arguments",
    [[], ["refresh"], ["download"], ["dance"], ["init"], ["init", "/nowhere"]],
    ids=["nothing", "no url", "no target", "no such verb", "no root", "root is away"],
)
def test_a_wrong_call_ends_with_exactly_1(tmp_path, arguments):
    command = [COMMAND, "--metadata-dir", str(tmp_path), *arguments]

    ended = subprocess.run(command, check=False, capture_output=True)

    assert ended.returncode == 1
    assert ended.stderr


def test_nothing_heavy_is_imported():
    code = "import runpy, sys\ntry: runpy.run_path(sys.argv[1], run_name='__main__')\n"
    code += "except SystemExit: print(*sys.modules)"
    python = COMMAND.parent.parent / ".venv" / "bin" / "python"
    client = COMMAND.with_name("tuf_client.py")

    ended = subprocess.run(
        [python, "-c", code, client], check=True, capture_output=True
    )

    loaded = set(ended.stdout.decode().split())
    assert "edge_runtime.agent.trust.trusted_repository" in loaded
    assert not loaded & {"numpy", "onnxruntime", "flask", "requests", "grpc", "orjson"}
