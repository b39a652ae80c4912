"""What a release's probation makes of what its worker and its owner say."""

import time

import pytest

from edge_runtime.errors import WorkerError
from edge_runtime.settings.serve_settings import HealthSettings
from edge_runtime.supervision.health import WORDS_MAX, run_health_command
from edge_runtime.supervision.probation import Probation

pytestmark = pytest.mark.asyncio


class Worker:
    """Stands in for a worker: says what it is told to, one answer after the other."""

    release = "tiny@2"
    is_alive = True

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def check_health(self, *, limit_s):
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else ""
        if answer:
            raise WorkerError(answer)


def probation(time_s=0.5, **health):
    return Probation(time_s, HealthSettings(**health), 1)


async def verdict(worker, watched, *, is_on_duty=lambda: True):
    begun_s = time.monotonic()
    return await watched.verdict(worker, is_on_duty), time.monotonic() - begun_s


async def test_who_is_well_passes_when_the_time_is_over():
    worker = Worker()
    words, took_s = await verdict(worker, probation())
    assert (words, worker.asked > 2) == ("", True)
    assert took_s >= 0.5


async def test_a_model_that_is_not_ready_fails_at_once():
    worker = Worker("", "tiny@2 failed 5 times in a row")
    words, took_s = await verdict(worker, probation(60.0))
    assert words == "its worker is not ready: tiny@2 failed 5 times in a row"
    assert took_s < 1.0


async def test_a_worker_that_died_is_somebody_elses_business():
    worker = Worker("ended")
    worker.is_alive = False
    assert (await verdict(worker, probation()))[0] == ""


async def test_nobody_is_watched_who_is_not_on_duty():
    words, took_s = await verdict(
        Worker("no"), probation(60.0), is_on_duty=lambda: False
    )
    assert (words, took_s < 1.0) == ("", True)


async def test_the_worker_is_asked_as_long_as_the_command_fails(tmp_path):
    worker = Worker(*[""] * 8, "not ready after all")
    command = f"test -e {tmp_path}/well"
    watched = probation(0.1, command=command, every_s=0.05, failures_max=1000)
    words, _ = await verdict(worker, watched)
    assert "not ready after all" in words


async def test_failures_that_are_not_in_a_row_are_forgiven(tmp_path):
    flip = f"if test -e {tmp_path}/x; then rm {tmp_path}/x; else touch {tmp_path}/x; fi"
    command = f"{flip}; test -e {tmp_path}/x"
    watched = probation(0.5, command=command, every_s=0.02, failures_max=2)
    assert (await verdict(Worker(), watched))[0] == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("true", ""),
        ("exit 3", "ended with 3"),
        ("kill -9 $$", "ended with -9"),
        ("echo $PACKHORSE_RELEASE; echo odd >&2; exit 1", "ended with 1: tiny@2 odd"),
        ("head -c 1000000 /dev/zero | tr '\\0' y; exit 1", "y" * WORDS_MAX),
        ("printf 'a\\033[2J\\377b'; exit 1", "a [2J\N{REPLACEMENT CHARACTER}b"),
        ("echo slow; sleep 60", "took over 0.5 s: slow"),
        ("sleep 60 & echo left behind; exit 2", "ended with 2: left behind"),
        ("read line", "ended with 1"),
    ],
)
async def test_what_a_health_command_says(line, words):
    settings = HealthSettings(command=line, limit_s=0.5 if "slow" in line else 20.0)
    begun_s = time.monotonic()
    said = await run_health_command(settings, {"PACKHORSE_RELEASE": "tiny@2"})
    assert words in said
    assert bool(said) == bool(words)
    assert time.monotonic() - begun_s < 15.0
