"""The systemd units: what systemd itself says of them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from edge_runtime.agent.switch import SWITCH_S
from edge_runtime.settings.serve_settings import ServeSettings
from tests.edge_runtime.agent.gateway import ROOT

DEPLOY = ROOT / "edge_runtime" / "deploy"
UNITS = ["packhorse-serve.service", "packhorse-agent.service"]
EXPOSURE_MAX = {"packhorse-serve.service": 15, "packhorse-agent.service": 17}
"""Of 100: what is left is the network, local sockets and the host's own files; the
agent may ask the kernel about its clock, which counts as if it could set it."""

PROGRAM = "/opt/packhorse/bin/edge-runtime"


@pytest.fixture
def analyze():
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is missing: apt-get install systemd")
        pytest.skip("systemd-analyze is missing: apt-get install systemd")

    def run(*arguments):
        return subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "SYSTEMD_COLORS": "0"},
        )

    return run


def read(unit):
    """Return the sections of a unit; what stands there twice is joined."""
    sections: dict = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return sections


def seconds(text):
    number, unit = re.fullmatch(r"([0-9]+)(min)?", text).groups()
    return int(number) * (60 if unit else 1)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_it(analyze, unit, tmp_path):
    # The program lies elsewhere here; nothing else is changed.
    text = (DEPLOY / unit).read_text()
    assert f"ExecStart={PROGRAM} " in text
    copy = tmp_path / unit
    copy.write_text(text.replace(PROGRAM, sys.executable))

    found = analyze("verify", "--man=no", copy)

    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_calls_it_confined(analyze, unit):
    found = analyze(
        "security", "--offline=true", f"--threshold={EXPOSURE_MAX[unit]}", DEPLOY / unit
    )
    assert found.returncode == 0, found.stdout


def test_systemd_would_not_call_an_open_service_confined(analyze, tmp_path):
    unit = tmp_path / "open.service"
    unit.write_text(f"[Service]\nExecStart={sys.executable}\n")
    threshold = f"--threshold={max(EXPOSURE_MAX.values())}"
    assert analyze("security", "--offline=true", threshold, unit).returncode != 0


@pytest.mark.parametrize("unit", UNITS)
def test_it_has_a_user_of_its_own_no_capability_and_one_place_to_write(unit):
    service = read(unit)["Service"]
    for name, value in {
        "Type": "notify",
        "User": "packhorse",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "AmbientCapabilities": "",
        "NoNewPrivileges": "yes",
        "StateDirectory": "packhorse",
        "Restart": "always",
    }.items():
        assert service[name] == [value], name
    assert "ReadWritePaths" not in service


def test_it_is_started_again_however_often_it_ends():
    for unit in UNITS:
        assert read(unit)["Unit"]["StartLimitIntervalSec"] == ["0"]


def test_watchdogs_wait_for_longer_than_the_longest_work():
    serve = read(UNITS[0])["Service"]
    ready_s = ServeSettings.__dataclass_fields__["ready_s"].default
    assert seconds(serve["WatchdogSec"][0]) > ready_s + 30
    assert seconds(serve["TimeoutStartSec"][0]) > 6 * ready_s
    stop_s = ServeSettings.__dataclass_fields__["stop_s"].default
    assert seconds(serve["TimeoutStopSec"][0]) > stop_s + 10
    agent = read(UNITS[1])["Service"]
    assert seconds(agent["WatchdogSec"][0]) > SWITCH_S + 60


def test_the_agent_may_ask_whether_its_clock_is_kept_right():
    service = read(UNITS[1])["Service"]
    assert service["SystemCallFilter"][-1] == "adjtimex clock_adjtime"
    assert "ProtectClock" not in service


def test_both_services_share_their_user_their_state_and_their_settings():
    serve, agent = (read(unit)["Service"] for unit in UNITS)
    for name in ("User", "Group", "StateDirectory", "EnvironmentFile"):
        assert serve[name] == agent[name]
    users = (DEPLOY / "packhorse.sysusers").read_text()
    assert f"\nu {serve['User'][0]} " in users


def test_systemd_makes_that_user(tmp_path):
    program = shutil.which("systemd-sysusers")
    if program is None:
        pytest.skip("systemd-sysusers is missing: apt-get install systemd")
    (tmp_path / "etc").mkdir()
    subprocess.run(
        [program, f"--root={tmp_path}", DEPLOY / "packhorse.sysusers"], check=True
    )
    assert "packhorse:x:" in (tmp_path / "etc" / "passwd").read_text()


def test_units_travel_with_the_wheel():
    made_of = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    packages = made_of["build"]["targets"]["wheel"]["packages"]
    assert DEPLOY.parent.name in packages
    assert {path.name for path in DEPLOY.iterdir()} >= {*UNITS, "Containerfile"}
