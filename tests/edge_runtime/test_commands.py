"""A command of the site runs for a limited time, and takes nothing with it."""

import os
import time
from pathlib import Path

import pytest

from edge_runtime.commands import SAID_MAX, Command, parse_command, run_command
from edge_runtime.errors import SettingsError
from tests.edge_runtime.agent.gateway import wait_until

SETTING = "PACKHORSE_MAY_SWITCH"


def shell(script, *, limit_s=10.0, environment=None, **more):
    command = Command(SETTING, ("/bin/sh", "-c", script))
    environment = environment or {"PATH": os.environ["PATH"]}
    return run_command(command, environment, limit_s=limit_s, **more)


def is_there(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def expect_ended(note):
    """Wait for the process to end that wrote its number: a signal takes a moment."""
    pid = int(note.read_text())
    wait_until(lambda: not is_there(pid), "it ends", most_s=5.0)


@pytest.mark.parametrize("code", [0, 1, 77])
def test_a_command_answers_with_its_exit_code(code):
    ended = shell(f"exit {code}")
    assert (ended.code, ended.why) == (code, f"exited with {code}")


def test_the_first_line_of_what_it_prints_is_its_reason():
    ended = shell("echo 'battery at 12 %'; echo more; exit 1")
    command = Command(SETTING, ("/bin/sh",))
    assert ended.sentence(command) == f"{SETTING} exited with 1: battery at 12 %"


def test_a_command_that_prints_without_end_neither_blocks_nor_fills_memory():
    ended = shell("head -c 20000000 /dev/zero | tr '\\0' 'x'; exit 3")
    assert (ended.code, ended.said) == (3, "x" * SAID_MAX)


def test_what_a_command_prints_cannot_colour_the_log():
    assert shell("printf 'a\\033[31mb\\r\\n'").said == "a[31mb"


def test_a_command_that_takes_too_long_ends_with_its_children(tmp_path):
    note = tmp_path / "pid"
    begun_s = time.monotonic()

    ended = shell(f"sleep 60 & echo $! > {note}; wait", limit_s=0.5)

    assert ended.code is None
    assert "did not end within 0.5 s" in ended.why
    assert time.monotonic() - begun_s < 5
    expect_ended(note)


def test_a_command_that_leaves_a_child_with_its_output_does_not_hold_us_up(tmp_path):
    note = tmp_path / "pid"
    begun_s = time.monotonic()

    ended = shell(f"sleep 60 & echo $! > {note}; exit 0")

    assert ended.code == 0
    assert time.monotonic() - begun_s < 5
    expect_ended(note)


def test_a_command_that_closes_its_output_is_waited_for():
    assert shell("exec >&- 2>&-; sleep 0.2; exit 5").code == 5


def test_a_command_that_is_killed_says_by_what():
    assert shell("kill -TERM $$").why == "was ended by SIGTERM"


def test_a_command_that_is_gone_is_no_yes():
    ended = run_command(Command(SETTING, ("/nowhere",)), {}, limit_s=1.0)
    assert ended.code is None
    assert "could not be run" in ended.why


def test_a_command_sees_the_environment_that_it_is_given_and_no_other(monkeypatch):
    monkeypatch.setenv("PACKHORSE_ENROLL_TOKEN", "secret")
    ended = shell("env | sort | tr '\\n' ' '", environment={"A": "1", "PWD": "/"})
    assert "A=1" in ended.said
    assert "secret" not in ended.said


def test_whoever_waits_is_called_meanwhile_and_may_stop_it(tmp_path):
    note = tmp_path / "pid"

    def tick():
        if note.exists() and note.read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell(f"echo $$ > {note}; sleep 60", tick=tick)

    expect_ended(note)


@pytest.mark.parametrize("text", ["true", "/nowhere/at/all", "/etc/passwd", "'/bin/sh"])
def test_a_setting_that_names_no_program_is_refused(text):
    with pytest.raises(SettingsError, match=SETTING):
        parse_command(SETTING, text)


def test_a_setting_is_split_as_a_shell_would_and_run_by_none():
    command = parse_command(SETTING, "/bin/echo 'two words' $HOME")
    assert command.words == ("/bin/echo", "two words", "$HOME")
    assert run_command(command, {}, limit_s=5.0).said == "two words $HOME"
    assert parse_command(SETTING, "") is None
