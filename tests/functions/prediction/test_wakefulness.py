"""When a process that did not get to run notices it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from functions.prediction.wakefulness import LATE_S, Wakefulness, is_worth_telling

ROOT = Path(__file__).parents[3]
SCRIPT = """
import asyncio, os, uvloop
from functions.prediction.wakefulness import Wakefulness

async def main():
    found = Wakefulness()
    with found.watched():
        print("watching", flush=True)
        while not found.away_s() > 0.5:
            await asyncio.sleep(0.01)
        print(found.away_s(), flush=True)

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


def play(scene):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scene())


def test_a_process_that_is_stopped_knows_for_how_long():
    command = [sys.executable, "-c", SCRIPT]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "watching\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.8)  # it stands still
        process.send_signal(signal.SIGCONT)
        away_s = float(process.stdout.readline())

    assert 0.7 < away_s < 10


def test_what_is_late_counts_before_anything_else_has_run():
    async def scene():
        found = Wakefulness()
        with found.watched():
            time.sleep(0.2)  # noqa: ASYNC251 - it stands still
            return found.away_s()

    assert play(scene) >= 0.2 - LATE_S


def test_nothing_counts_while_nobody_watches():
    async def scene():
        found = Wakefulness()
        with found.watched():
            pass
        time.sleep(0.2)  # noqa: ASYNC251 - it stands still
        with found.watched():
            return found.away_s()

    assert play(scene) == 0.0


def test_the_timer_ends_with_the_last_who_watches():
    async def scene():
        found = Wakefulness()
        with found.watched(), found.watched():
            pass
        return found._timer.cancelled()  # noqa: SLF001 - nothing else shows it

    assert play(scene)


@pytest.mark.parametrize(
    ("took_s", "away_s", "is_told"),
    [(0.02, 0.0, True), (1.0, 0.05, True), (0.3, 0.2, False), (0.05, 0.031, False)],
)
def test_a_time_is_told_where_little_of_it_was_not_run(took_s, away_s, is_told):
    assert is_worth_telling(took_s, away_s) is is_told
