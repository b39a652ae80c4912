"""The image's definition: nothing builds it here, so it is held to the rest."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge_runtime.agent.gateway import ROOT

FILE = ROOT / "edge_runtime" / "deploy" / "Containerfile"


def instructions(name=""):
    """Return the instructions of that name, each on one line."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip()]
    return [rest.strip() for word, _, rest in pairs if word == name]


def test_the_image_is_not_run_by_root():
    user = instructions("USER")[-1]
    uid, gid = user.split(":")
    assert int(uid) >= 1000
    assert int(gid) >= 1000
    made = " ".join(instructions("RUN"))
    assert f"--uid {uid}" in made
    assert f"--gid {gid}" in made


def test_every_package_is_pinned_by_hash_and_none_is_built():
    made = " ".join(" ".join(instructions("RUN")).split())
    assert "--require-hashes --only-binary :all: -r gateway.txt" in made
    assert "--no-deps --no-index packhorse-*.whl" in made
    pins = (ROOT / "requirements" / "gateway.txt").read_text()
    assert "--hash=sha256:" in pins


def test_what_it_copies_is_what_make_lays_there():
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^container-context:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    for name in ("requirements/gateway.txt", "edge_runtime/deploy/Containerfile"):
        assert name in recipe[1]
    assert instructions("COPY")[0] == "gateway.txt packhorse-*.whl ./"


def test_state_is_the_only_place_that_it_writes_to():
    volume = instructions("VOLUME")
    assert f"PACKHORSE_STATE_DIR={volume[0]}" in " ".join(instructions("ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(instructions("ENV"))


@pytest.mark.parametrize("python", ["edge_runtime.command.healthcheck"])
def test_its_health_check_is_a_module_that_is_there(python, tmp_path):
    check = instructions("HEALTHCHECK")[0]
    command = json.loads(check[check.index("[") :])
    assert command == ["python", "-m", python]

    done = subprocess.run(
        [sys.executable, *command[1:]],
        env={"PACKHORSE_STATE_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "no supervisor runs" in done.stderr


def test_its_entry_point_is_the_programs_name():
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["edge-runtime"]
    assert json.loads(instructions("CMD")[0]) == ["serve"]
    assert Path(sys.executable).with_name("edge-runtime").exists()


def test_its_port_is_the_one_that_serve_listens_on():
    assert instructions("EXPOSE") == ["8080"]
