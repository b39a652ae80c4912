"""What is installed where, and that the requirement files keep to it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GATEWAY = ROOT / ".venv-gateway"
GATEWAY_MAX_BYTES = 200 * 1000**2
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
FILES = {
    "requirements.txt": ["functions"],
    "requirements/cli.txt": ["cli"],
    "requirements/clients.txt": ["clients"],
    "requirements/dev.txt": ["gateway", "functions", "cli", "local-cloud", "predict"],
    "requirements/gateway.txt": ["gateway"],
    "requirements/iot.txt": ["iot"],
    "requirements/predict.txt": ["predict"],
}
"""Which extras each file is compiled from, as `make pins` does."""
APART = {"requirements/clients.txt", "requirements/iot.txt"}
"""Resolved by themselves: nothing of theirs is deployed."""
CARD = [
    "flask",
    "functions-framework",
    "google-cloud-aiplatform",
    "google-cloud-pubsub",
    "google-cloud-storage",
    "onnxruntime",
]
IMPORT_ALL = """
import importlib, pkgutil, sys
import edge_runtime, packhorse
print(edge_runtime.__file__)
for module in pkgutil.walk_packages(edge_runtime.__path__, "edge_runtime."):
    importlib.import_module(module.name)
# The bare name is made at the start of Python by protobuf, for onnxruntime.
print(*(name for name in sys.modules if name.startswith("google.")))
"""
INSTALLED = """
from importlib.metadata import distributions
print(*(each.metadata["Name"].lower() for each in distributions()))
"""


def in_gateway(script):
    """Run a script as a gateway would: out of the checkout, without our variables."""
    done = subprocess.run(
        [GATEWAY / "bin" / "python", "-I", "-c", script],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def name_of(requirement):
    """Return a requirement's name as the index spells it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def lines_of(file):
    """Return a requirement file's entries, each with its hashes."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def requirement_files():
    return sorted(
        str(path.relative_to(ROOT))
        for path in [ROOT / "requirements.txt", *ROOT.glob("requirements/*.txt")]
    )


def test_a_gateways_environment_is_small():
    # As installed: bytecode, 9 MB, comes with the first runs, and is no download.
    files = [p for p in GATEWAY.rglob("*") if "__pycache__" not in p.parts]
    sizes = [path.lstat().st_size for path in files]

    assert sum(sizes) < GATEWAY_MAX_BYTES


def test_a_gateway_loads_nothing_of_googles():
    location, loaded = in_gateway(IMPORT_ALL)

    assert Path(location).is_relative_to(GATEWAY)
    assert not loaded


def test_a_gateway_has_none_of_googles_libraries():
    (installed,) = in_gateway(INSTALLED)

    names = installed.split()
    assert "packhorse" in names
    assert not [name for name in names if name.startswith("google")]


@pytest.mark.parametrize("file", requirement_files())
def test_every_line_of_a_requirement_file_is_pinned_and_has_hashes(file):
    lines = lines_of(file)

    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("file", requirement_files())
def test_no_requirement_file_names_an_index_or_a_host(file):
    text = (ROOT / file).read_text()

    assert "://" not in text
    assert not re.search(r"^\s*--?(index|extra-index|find-links|trusted|i )", text)


@pytest.mark.parametrize("file", FILES)
def test_whatever_an_extra_asks_for_is_pinned(file):
    pinned = {name_of(line) for line in lines_of(file)}

    asked = {name_of(each) for extra in FILES[file] for each in EXTRAS[extra]}
    assert asked <= pinned


def test_what_developers_need_is_pinned():
    pinned = {name_of(line) for line in lines_of("requirements/dev.txt")}

    assert {name_of(each) for each in PROJECT["dependency-groups"]["dev"]} <= pinned


@pytest.mark.parametrize("file", sorted(set(FILES) - APART))
def test_cloud_and_gateways_run_what_the_tests_ran(file):
    def versions(file):
        # One name may have several pins, each for its platforms.
        return {line.split()[0] for line in lines_of(file)}

    assert versions(file) <= versions("requirements/dev.txt")


def test_the_builders_file_carries_what_the_card_names():
    pinned = {name_of(line) for line in lines_of("requirements.txt")}

    assert pinned.issuperset(CARD)


def test_a_prediction_functions_file_carries_no_model_runtime_and_no_vertex_sdk():
    pinned = {name_of(line) for line in lines_of("requirements/predict.txt")}

    assert pinned.isdisjoint({"onnxruntime", "onnx", "google-cloud-aiplatform"})


def test_there_is_no_lock_file_that_records_an_index():
    assert not (ROOT / "uv.lock").exists()
