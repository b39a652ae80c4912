"""`edge-runtime log`, as a process."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from edge_runtime.prediction_log.folder import segment_path, segment_paths
from edge_runtime.settings.serve_settings import LogSettings
from tests.edge_runtime.gateways import ROOT
from tests.edge_runtime.prediction_log.entries import entry, write

HOUR_S = 3600.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def directory(state_dir):
    state_dir.mkdir()
    return state_dir / "predictions"


def command(state_dir, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "log", *arguments],
        cwd=ROOT,
        env={**os.environ, "PACKHORSE_STATE_DIR": str(state_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def run(state_dir):
    def start(*arguments):
        with command(state_dir, *arguments) as process:
            output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    return start


@pytest.fixture
def ids(run):
    def ask(*arguments):
        code, output, _ = run("--json", *arguments)
        assert code == 0
        return [json.loads(line)["request_id"] for line in output.splitlines()]

    return ask


def test_a_line_says_who_answered_how_fast_and_what(run, directory):
    write(
        directory,
        entry("r-7", at_s=1.0625, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"),
    )
    code, output, errors = run()
    assert (code, errors) == (0, "")
    assert output == (
        "1970-01-01T00:00:01.062Z  tiny@1  ok  queue 0.01 ms  compute 0.2 ms"
        "  x FP32[1,2] 1…2 → y FP32[1,2] top 1: 0.75"
        f"  request r-7  trace {TRACE}\n"
    )


def test_an_id_cannot_command_the_terminal(run, directory):
    write(directory, entry("\x1b[2J\nfake line"))
    _, output, _ = run()
    assert "\x1b" not in output
    assert len(output.splitlines()) == 1


def test_records_are_chosen_by_what_is_known_of_them(ids, directory):
    now_s = time.time()
    write(
        directory,
        entry("old", at_s=now_s - 3 * HOUR_S),
        entry("other", at_s=now_s - 10, model="other", version="3"),
        entry("late", at_s=now_s - 9, outcome="late"),
        entry("new", at_s=now_s - 8, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"),
    )
    assert ids() == ["old", "other", "late", "new"]
    assert ids("--model", "tiny") == ["old", "late", "new"]
    assert ids("--model", "other@3") == ["other"]
    assert ids("--model", "other@2") == []
    assert ids("--outcome", "late") == ["late"]
    assert ids("--id", TRACE) == ids("--id", "new") == ["new"]
    assert ids("--since", "2h") == ["other", "late", "new"]
    assert ids("--until", "2h") == ["old"]
    assert ids("--since", "2h", "-n", "2") == ["late", "new"]


def test_a_time_without_an_offset_is_utc(ids, directory):
    write(directory, entry("a", at_s=0.0), entry("b", at_s=HOUR_S))
    assert ids("--since", "1970-01-01T00:30") == ["b"]
    assert ids("--since", "1970-01-01T01:00+01:00", "--until", "1970-01-01T00:30") == [
        "a"
    ]


def test_tensors_kept_in_full_are_shown_when_asked_for(run, directory):
    inputs = {"x": np.array([[np.nan, 2.0]], np.float32)}
    settings = LogSettings(1.0, "full", 2**20)
    write(directory, entry(inputs=inputs), settings=settings)
    shown = json.loads(run("--json", "--data")[1])
    assert shown["inputs"][0]["data"] == [None, 2.0]
    assert shown["outputs"][0]["data"] == [0.25, 0.75]
    assert "data" not in json.loads(run("--json")[1])["inputs"][0]


def test_what_is_missing_is_said_where_it_would_stand(run, directory):
    names = {f"{i:0300}": np.zeros(1) for i in range(300)}
    write(
        directory,
        entry(inputs=names),
        settings=LogSettings(1.0, "summary", 2**20),
    )
    assert "-- not recorded: 1 too_large --" in run()[1]
    assert run("--model", "tiny")[1] == ""


def test_an_empty_log_is_no_failure(run, directory):
    assert run() == (0, "", f"edge-runtime: no prediction matches in {directory}\n")


def test_a_folder_that_is_not_there_is_one(run, state_dir):
    code, _, errors = run()
    assert code == 1
    assert str(state_dir) in errors
    code, _, errors = run("--directory", f"{state_dir}/away")
    assert code == 1
    assert "--directory" in errors


def test_a_log_from_elsewhere_is_read(run, directory, tmp_path):
    write(tmp_path / "elsewhere", entry("copied"))
    assert "copied" in run("--directory", f"{tmp_path}/elsewhere")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data"],
        ["--cursor-file", "c", "-n", "1"],
        ["-f", "--until", "1h"],
        ["--since", "yesterday-ish"],
        ["--since", "999999999d"],
        ["-n", "0"],
        ["--frobnicate"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_a_sentence(run, directory, arguments):
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert "Traceback" not in errors
    assert errors


def test_a_cursor_file_shows_each_record_once(ids, run, directory, tmp_path):
    cursor = tmp_path / "cursor"
    write(directory, entry("one"))
    assert ids("--cursor-file", f"{cursor}") == ["one"]
    write(directory, entry("two"))
    assert ids("--cursor-file", f"{cursor}") == ["two"]
    assert run("--cursor-file", f"{cursor}")[1] == ""
    cursor.write_text("nonsense")
    code, _, errors = run("--cursor-file", f"{cursor}")
    assert code == 1
    assert "cursor" in errors


def test_a_segment_of_a_later_version_is_named(run, directory):
    write(directory, entry("known"))
    segment_path(directory, 1).write_bytes(b"\x89PHPLOG\2" + bytes(100))
    code, output, errors = run()
    assert code == 0
    assert "known" in output
    assert "0000000000000001.plog is no segment" in errors


def test_follow_shows_the_last_ten_and_then_what_comes(state_dir, directory):
    write(directory, *map(entry, range(15)))
    with command(state_dir, "-f", "--json") as process:
        shown = [json.loads(process.stdout.readline()) for _ in range(10)]
        assert shown[0]["request_id"] == "5"
        write(directory, entry("came"))
        assert json.loads(process.stdout.readline())["request_id"] == "came"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_follow_waits_for_a_log_that_is_not_there_yet(state_dir, directory):
    with command(state_dir, "--follow") as process:
        write(directory, entry("first"))
        assert "first" in process.stdout.readline()
        process.kill()


@pytest.mark.parametrize("arguments", [[], ["-f"]], ids=["all", "follow"])
def test_whoever_has_seen_enough_may_leave(state_dir, directory, arguments):
    """As `| head -1` does; the command notices, also while nothing comes."""
    write(directory, *map(entry, range(1000)))
    with command(state_dir, *arguments) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""


def test_any_locale_will_do(state_dir, directory, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    write(directory, entry())
    with command(state_dir) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "\\u2192" in output


def test_a_log_that_may_not_be_read_is_a_sentence(run, directory):
    write(directory, entry())
    ((_, path),) = segment_paths(directory)
    path.unlink()
    path.mkdir()
    code, _, errors = run()
    assert code == 1
    assert errors == f"edge-runtime: {path}: Is a directory\n"
