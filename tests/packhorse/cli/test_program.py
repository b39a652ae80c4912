"""The installed program: exit codes, signals, and what happens to its output."""

import signal
import subprocess

import pytest

from tests.local_cloud.registry.stand_ins import wait_for
from tests.packhorse.cli.people import reply

RECORD = {"model": "m", "state": "withdrawn", "sequence": 7, "withdrawn": ["m@1"]}


@pytest.fixture
def waiting(person, server):
    """A `withdraw` that waits for ever."""
    person.environ["PACKHORSE_OPERATE_URL"] = server.url
    server.on("GET", "*", reply({**RECORD, "published_sequence": 1}))
    process = person.start("withdraw", "m@1")
    wait_for(lambda: len(server.seen) > 2, "the command waits")
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_it_with_a_word(waiting):
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=20)
    assert (waiting.returncode, errors) == (1, "Error: interrupted\n")


def test_a_reader_that_has_seen_enough_gets_no_complaint(person, server):
    server.on("GET", "*", reply({"rows": ["x" * 100] * 10_000}))
    person.environ["PACKHORSE_OPERATE_URL"] = server.url
    process = person.start("status", "--json")
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 1
    assert errors == ""


@pytest.mark.parametrize("words", [("--help",), ("push", "--help"), ("status",)])
def test_a_full_disk_is_a_sentence(person, server, words):
    server.on("GET", "*", reply({}))
    person.environ["PACKHORSE_OPERATE_URL"] = server.url
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = person.start(*words, stdout=full)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == "Error: No space left on device\n"


def test_what_the_terminal_cannot_show_is_written_otherwise(person, server):
    server.on("GET", "*", reply({"history": [{"what": "größer"}]}))
    person.environ |= {"PACKHORSE_OPERATE_URL": server.url, "PYTHONIOENCODING": "ascii"}
    process = person.start("status", "m@1")
    shown, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert r"gr\xf6\xdfer" in shown


def test_the_version_is_shown(person):
    process = person.start("--version", stderr=subprocess.STDOUT)
    shown, _ = process.communicate(timeout=20)
    assert (process.returncode, shown.split()[0]) == (0, "packhorse,")
