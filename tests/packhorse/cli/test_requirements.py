"""What the command imports is what its requirement file installs."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OURS = {"packhorse"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            yield ".".join(parts[:2]) if parts[0] == "google" else parts[0]


def test_an_operator_s_environment_holds_all_that_the_command_imports():
    lines = (ROOT / "requirements" / "cli.txt").read_text().splitlines()
    installed = {line.partition("==")[0] for line in lines if "==" in line}
    found = {n for p in (ROOT / "packhorse").rglob("*.py") for n in imported(p)}
    others = found - set(sys.stdlib_module_names) - OURS
    distributions = packages_distributions() | {"google.protobuf": ["protobuf"]}
    # A requirement file spells every name with dashes.
    names = {n: {d.replace("_", "-") for d in distributions[n]} for n in others}
    missing = {n for n in others if not names[n] & installed}
    assert "onnx" in others
    assert not missing
