"""What the scheduler publishes, and what it does without a deploy.yaml."""

import signal
import subprocess
import sys

import pytest

from local_cloud.scheduler import main, read_jobs
from tests.local_cloud.pubsub.stand_ins import ROOT, wait_for

DEPLOY = """
functions:
  advance_rollout: {trigger: {topic: advance, schedule: "* * * * *"}}
  sweep_ledger: {trigger: {topic: sweep, schedule: "0 3 * * *"}}
  sweep_again: {trigger: {topic: sweep, schedule: "0 3 * * *"}}
  register_release: {trigger: {topic: gcr}}
  predict: {trigger: {http: true}}
"""
COMMAND = [sys.executable, "-m", "local_cloud.scheduler"]


@pytest.fixture
def deploy_file(tmp_path):
    path = tmp_path / "deploy.yaml"
    path.write_text(DEPLOY)
    return path


def test_the_scheduled_topics_are_read_once_each(deploy_file):
    jobs = [(job.topic, job.schedule.text) for job in read_jobs(deploy_file)]

    assert jobs == [("advance", "* * * * *"), ("sweep", "0 3 * * *")]


def test_the_products_own_list_can_be_read():
    topics = {job.topic for job in read_jobs(ROOT / "functions" / "deploy.yaml")}

    assert "sweep" in topics


def test_a_topic_is_published_to_as_often_as_the_faster_clock_says(
    our_cloud, deploy_file, tmp_path
):
    subscription = our_cloud.subscription(our_cloud.topic("advance"))
    words = ["--deploy-file", str(deploy_file), "--project", our_cloud.project]
    with (tmp_path / "log").open("wb") as log:
        scheduler = subprocess.Popen(
            [*COMMAND, *words, "--speed-up", "300"], cwd=ROOT, stdout=log, stderr=log
        )
    published = []

    def has_three():
        published.extend(our_cloud.drain(subscription))
        return len(published) >= 3

    wait_for(has_three, "three publishes")
    scheduler.terminate()

    assert scheduler.wait(20) == 0
    assert set(published) == {b"{}"}


def test_a_pubsub_that_comes_late_is_no_trouble(own_server, deploy_file, tmp_path):
    own_server.kill()
    words = ["--deploy-file", str(deploy_file), "--project", "p-late"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        scheduler = subprocess.Popen(
            [*COMMAND, *words, "--speed-up", "300"], cwd=ROOT, stdout=output
        )
    wait_for(lambda: b"missed" in log.read_bytes(), "a missed publish")
    own_server.start()
    scheduler.terminate()

    assert scheduler.wait(20) == 0
    assert b"Traceback" not in log.read_bytes()


def test_without_the_local_pubsub_it_does_not_start(deploy_file, monkeypatch, capsys):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")

    assert main(["--deploy-file", str(deploy_file)]) == 1
    assert "PUBSUB_EMULATOR_HOST is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["[]", "functions: 3", "functions: {a: {}}", DEPLOY.replace("0 3", "0 30")],
)
def test_what_is_no_list_of_functions_is_refused_with_a_sentence(
    tmp_path, monkeypatch, capsys, text
):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    path = tmp_path / "deploy.yaml"
    path.write_text(text)

    assert main(["--deploy-file", str(path)]) == 1
    assert capsys.readouterr().err.startswith("scheduler: cannot start: ")


@pytest.fixture(autouse=True)
def _signals():
    """Give back the signal handlers that `main` sets, and where signals go."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(-1)
