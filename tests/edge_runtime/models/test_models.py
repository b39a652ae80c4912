"""Several models and versions in one process, changed while requests run."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import ModelError, NotAllowedError, UnknownModelError
from edge_runtime.models.load import load_models
from edge_runtime.models.models import MODELS_MAX, IndexEntry
from edge_runtime.models.repository import Repository, StoredModel
from edge_runtime.models.try_load import try_load
from edge_runtime.run_watch import RunWatch
from tests import odd_models
from tests.edge_runtime.gateways import ROOT, install
from tests.edge_runtime.repositories import put
from tests.models import tiny_answer, tiny_bundle, tiny_model

ROW = np.array([[1, 2, 3, 4]], np.float32)
WATCH = RunWatch(30.0)


@pytest.fixture
def models_dir(tmp_path):
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def slot(tmp_path):
    return install(tmp_path / "state", "a", tiny_bundle(2)[1])


def load(models_dir, slot=None, *, allow_load=True):
    return load_models(slot, Repository(models_dir), WATCH, allow_load=allow_load)


def answers(model):
    """Return the tiny model's version by what it computes."""
    (y,) = model.session.run({"x": ROW}).values()
    versions = [v for v in range(1, 12) if np.allclose(y, tiny_answer(ROW, v))]
    return versions[0]


def test_several_models_and_versions_are_served_at_once(models_dir):
    for version in (9, 10, 2):
        put(models_dir, "Tiny_one.x", version, tiny_model(version))
    put(models_dir, "echo", 1, odd_models.identity())

    models = load(models_dir)

    assert models.is_ready
    assert models.versions("Tiny_one.x") == ["2", "9", "10"]
    assert answers(models.get("Tiny_one.x")) == 10
    assert answers(models.get("Tiny_one.x", "9")) == 9
    assert models.get("echo").release == "echo@1"


def test_the_gateways_own_release_stands_first_and_answers_for_its_name(
    models_dir, slot
):
    put(models_dir, "tiny", 9, tiny_model(9))
    put(models_dir, "tiny", 2, tiny_model(7))  # a false copy of the release
    models = load(models_dir, slot)
    assert models.all()[0].source == "slot a"
    assert answers(models.get("tiny")) == 2
    assert answers(models.get("tiny", "2")) == 2
    assert answers(models.get("tiny", "9")) == 9


def test_without_a_model_nothing_is_ready(models_dir):
    models = load(models_dir)
    assert models.reason == "no release is installed yet"
    assert models.index() == []


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("tiny", "3", "expected tiny@2, came 'tiny@3'"),
        ("other", None, "expected tiny@2, came 'other'"),
        ("../tiny", "2", "expected tiny@2, came"),
        ("tiny", "02", "came 'tiny@02'"),
    ],
)
def test_a_model_that_is_not_served_is_refused_by_name(
    models_dir, slot, name, version, sentence
):
    models = load(models_dir, slot)
    with pytest.raises(UnknownModelError, match=sentence):
        models.get(name, version)


def test_one_broken_model_keeps_the_process_unready_and_the_others_answering(
    models_dir, slot
):
    put(models_dir, "broken", 1, b"no model")
    put(models_dir, "echo", 1, odd_models.identity())

    models = load(models_dir, slot)

    assert models.reason.startswith("broken@1: the model file is")
    assert answers(models.get("tiny")) == 2
    assert models.get("echo").is_ready
    (entry,) = (e for e in models.index() if e.name == "broken")
    assert (entry.state, entry.reason) == ("UNAVAILABLE", models.reason[10:])


def test_a_model_mended_and_loaded_makes_the_process_ready(models_dir):
    put(models_dir, "broken", 1, b"no model")
    models = load(models_dir)
    put(models_dir, "broken", 1, tiny_model(4))
    models.load("broken")
    assert models.is_ready
    assert answers(models.get("broken")) == 4


def test_a_model_is_loaded_replaced_and_unloaded_while_the_process_runs(models_dir):
    models = load(models_dir)
    changes = []
    models.on_change = lambda: changes.append([m.release for m in models.all()])

    put(models_dir, "late", 1, tiny_model(1))
    assert models.index() == [IndexEntry("late", "1", "UNAVAILABLE", "unloaded")]
    models.load("late")
    held = models.get("late")
    put(models_dir, "late", 2, tiny_model(2))
    models.load("late")
    assert (answers(models.get("late")), answers(held)) == (2, 1)
    models.unload("late")

    assert answers(held) == 1
    assert changes == [["late@1"], ["late@1", "late@2"], []]
    with pytest.raises(UnknownModelError, match="no model is served, came 'late'"):
        models.get("late")
    with pytest.raises(UnknownModelError):
        models.unload("late")


def test_a_broken_model_leaves_the_former_one_serving_and_says_why(models_dir):
    put(models_dir, "tiny", 1, tiny_model(1))
    models = load(models_dir)
    former = models.get("tiny")
    put(models_dir, "tiny", 2, odd_models.sequence_output())

    with pytest.raises(ModelError, match="tiny@2: output 'xs' is seq"):
        models.load("tiny")

    assert models.get("tiny") is former
    assert models.versions("tiny") == ["1"]
    assert models.is_ready


def test_the_gateways_own_release_is_neither_replaced_nor_unloaded(models_dir, slot):
    put(models_dir, "tiny", 3, tiny_model(3))
    models = load(models_dir, slot)
    own = models.get("tiny")

    models.load("tiny")
    assert models.get("tiny") is own
    models.unload("tiny")
    assert models.versions("tiny") == ["2"]
    with pytest.raises(NotAllowedError, match="'tiny' is the gateway's own release"):
        models.unload("tiny")
    assert models.get("tiny") is own


def test_of_a_model_that_is_served_the_versions_are_named(models_dir):
    put(models_dir, "echo", 1, odd_models.identity())
    for version in (2, 5):
        put(models_dir, "tiny", version, tiny_model(version))
    with pytest.raises(UnknownModelError, match="expected tiny@2, tiny@5, came"):
        load(models_dir).get("tiny", "3")


def test_every_model_is_logged_as_it_is_loaded(models_dir, slot, capfd):
    put(models_dir, "broken", 1, b"no model")
    place = put(models_dir, "echo", 1, odd_models.identity())
    load(models_dir, slot)
    lines = map(json.loads, capfd.readouterr().out.splitlines())
    lines = {line.pop("release"): line for line in lines}
    assert lines["tiny@2"]["event"] == lines["echo@1"]["event"] == "model_loaded"
    assert (lines["tiny@2"]["source"], lines["tiny@2"]["proven"]) == ("slot a", True)
    assert (lines["echo@1"]["source"], lines["echo@1"]["proven"]) == (str(place), False)
    assert {"rows_max", "is_slow", "took_s"} < lines["echo@1"].keys()
    assert lines["broken@1"]["event"] == "model_failed"
    assert lines["broken@1"]["reason"].startswith("the model file is")


@pytest.mark.parametrize("name", ["late", "nobody", "../x"])
def test_nothing_is_loaded_or_unloaded_unless_that_is_allowed(models_dir, name):
    put(models_dir, "late", 1, tiny_model())
    models = load(models_dir, allow_load=False)
    with pytest.raises(NotAllowedError, match=r"models are loaded .*ALLOW_LOAD=1"):
        models.load(name)
    with pytest.raises(NotAllowedError, match="models are unloaded on request only"):
        models.unload(name)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "..",
        ".",
        "",
        "a/b",
        "/etc",
        "tiny/1",
        "x\0y",
        "é",
        ".git",
        "x" * 101,
    ],
)
def test_no_name_leads_out_of_the_directory(tmp_path, models_dir, name):
    put(tmp_path, "outside", 1, tiny_model())
    models = load(models_dir)
    with pytest.raises(UnknownModelError):
        models.load(name)


def test_what_is_no_model_in_the_directory_is_passed_over(models_dir):
    put(models_dir, "good", 1, tiny_model())
    put(models_dir, "good", "01", tiny_model())
    put(models_dir, "good", "latest", tiny_model())
    put(models_dir, ".hidden", 1, tiny_model())
    (models_dir / "good" / "config.pbtxt").write_text("")
    (models_dir / "good" / "7").mkdir()
    assert Repository(models_dir).all() == [
        StoredModel("good", "1", models_dir / "good" / "1")
    ]


def test_a_directory_that_is_not_there_has_no_models(tmp_path):
    repository = Repository(tmp_path / "nowhere")
    assert repository.all() == []
    assert repository.size_bytes() == 0


def test_the_directorys_size_is_that_of_all_models_files(models_dir):
    body = tiny_model()
    put(models_dir, "a", 1, body)
    put(models_dir, "b", 1, body)
    assert Repository(models_dir).size_bytes() == 2 * len(body)


def test_no_more_versions_are_served_than_there_is_room_for(models_dir):
    models = load(models_dir)
    for version in range(1, MODELS_MAX + 2):
        put(models_dir, "many", version, tiny_model(1))
    with pytest.raises(NotAllowedError, match=f"at most {MODELS_MAX} versions"):
        models.load("many")

    models = load(models_dir)
    assert len(models.all()) == MODELS_MAX
    assert models.reason == "many@65: at most 64 versions are served"


def test_requests_see_one_whole_version_or_the_other_while_models_change(models_dir):
    put(models_dir, "tiny", 1, tiny_model(1))
    models = load(models_dir)
    is_over = threading.Event()
    seen, wrong = set(), []

    def ask():
        while not is_over.is_set():
            try:
                model = models.get("tiny")
                seen.add(model.release)
                if answers(model) != int(model.version):
                    wrong.append(model.release)
            except UnknownModelError:
                seen.add("none")
            time.sleep(0.01)  # processor for those who load

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    put(models_dir, "tiny", 2, tiny_model(2))
    models.load("tiny")
    models.unload("tiny")
    models.load("tiny")
    time.sleep(0.05)
    is_over.set()
    for thread in asking:
        thread.join()

    assert wrong == []
    assert {"tiny@1", "tiny@2"} <= seen


def test_a_model_that_is_not_ready_makes_the_process_unready(models_dir):
    put(models_dir, "lookup", 1, odd_models.lookup())
    models = load(models_dir)
    model = models.get("lookup")
    good, model.sample = model.sample, {"x": np.array([99])}
    for _ in range(5):
        model.failed(ModelError("the model failed while it ran"))

    assert models.reason == model.reason != ""
    assert not models.is_ready
    assert [e.state for e in models.index()] == ["UNAVAILABLE"]

    model.sample = good
    model.succeeded()
    assert models.is_ready


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (odd_models.greedy, "cannot be warmed with zeros"),
        (odd_models.endless, "takes more than 30 s of processor or 60 s"),
    ],
    ids=["memory", "time"],
)
def test_a_model_that_takes_too_much_is_found_out_in_a_process_of_its_own(
    models_dir, build, sentence
):
    place = put(models_dir, "hostile", 1, build())
    with pytest.raises(ModelError, match=sentence):
        try_load(StoredModel("hostile", "1", place), wall_s=2.0)


def test_a_child_that_tries_a_model_ends_with_its_parent(models_dir):
    place = put(models_dir, "endless", 1, odd_models.endless())
    script = (
        "import threading, sys, time\n"
        "from pathlib import Path\n"
        "from edge_runtime.models.repository import StoredModel\n"
        "from edge_runtime.models.try_load import try_load\n"
        f"stored = StoredModel('endless', '1', Path({str(place)!r}))\n"
        "threading.Thread(target=try_load, args=[stored], daemon=True).start()\n"
        "print('begun', flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    parent.stdout.readline()
    wait_until(lambda: children(parent.pid))
    (child,) = children(parent.pid)
    time.sleep(0.3)  # until it has set its limits

    parent.kill()
    parent.communicate()

    wait_until(lambda: not is_alive(child))


def children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    texts = [(task / "children").read_text() for task in tasks]
    return [int(child) for text in texts for child in text.split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def wait_until(condition, timeout_s=10.0):
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)
