"""What Cloud Build runs is valid Cloud Build."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "cloudbuild").glob("*.yaml")), ids=lambda f: f.name
)
def test_a_build_follows_the_official_schema(file):
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.cloudbuild", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
