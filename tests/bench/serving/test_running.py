"""Our server in the ring: it answers rightly, and what it uses is seen."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.serving.entrants import ENTRANTS, OURS
from bench.serving.onnx_models import write_models
from bench.serving.processes import Tree
from bench.serving.running import EntrantError, Place, Running, Session, compare
from bench.serving.samples import decode, encode, sample
from bench.serving.venvs import REQUIREMENTS

PROGRAMS = Path(sys.executable).parent
FORK = "import os, time; os.fork(); [0 for _ in range(10**6)]; time.sleep(60)"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("cache"), PROGRAMS / "edge-runtime")
    write_models(place.models)
    return place


@pytest.fixture(scope="module")
def session(place):
    return Session(place, "S")


@pytest.fixture(scope="module")
def server(place, session):
    (ours,) = [entrant for entrant in ENTRANTS if entrant.name == OURS]
    server = Running(ours, "S", place, session)
    server.await_answer()
    yield server
    server.stop()


def wait_for(condition):
    until_s = time.monotonic() + 20
    while not (value := condition()):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return value


@pytest.mark.parametrize("form", ["v2", "binary", "instances"])
def test_our_server_answers_many_at_once_as_onnxruntime_does(server, form):
    server.check_together(form)


def test_what_our_server_uses_is_seen(server):
    before_s = server.tree.cpu_s()
    server.check_together("v2")
    memory = server.tree.memory()
    assert server.tree.cpu_s() > before_s > 0.05
    assert 10 < memory.pss_mib <= memory.alone_mib <= memory.rss_mib
    assert memory.processes == len(server.tree.pids())


def test_an_answer_of_another_row_is_noticed(session):
    compare(session.expected(0), session.expected(0))
    with pytest.raises(EntrantError, match="expected"):
        compare(session.expected(1), session.expected(0))


def test_the_model_alone_takes_some_microseconds(session):
    assert 0.5 < session.run_us(0.05) < 1000


@pytest.mark.parametrize("form", ["v2", "binary", "instances", "bare"])
def test_other_rows_make_other_bodies_of_the_same_kind(form):
    one, other = (encode(form, sample("S", seed)) for seed in (0, 1))
    assert one.headers == other.headers
    assert one.body != other.body


def test_what_is_no_answer_is_refused():
    with pytest.raises(ValueError, match="no answer"):
        decode({}, b'{"error":"x"}')


def test_a_tree_is_all_that_a_process_started_and_ends_with_it(tmp_path):
    tree = Tree([sys.executable, "-c", FORK], {}, tmp_path, tmp_path / "log")
    pids = wait_for(lambda: len(tree.pids()) == 2 and tree.pids())
    os.kill(pids[1], signal.SIGSTOP)  # will not end by itself
    tree.stop()
    assert not tree.is_alive
    wait_for(lambda: not Path(f"/proc/{pids[1]}").exists())


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=str)
def test_what_peers_install_is_pinned_hashed_and_from_no_index_of_ours(path):
    lines = [line for line in path.read_text().splitlines() if line[:1].isalnum()]
    assert lines
    assert all("==" in line for line in lines)
    assert "--hash=sha256:" in path.read_text()
    assert "index-url" not in path.read_text()


def test_every_peer_has_its_requirements():
    names = {entrant.venv for entrant in ENTRANTS if entrant.venv} | {"plot"}
    assert names == {path.stem for path in REQUIREMENTS.glob("*.txt")}
    assert names == {path.stem for path in REQUIREMENTS.glob("*.in")}
