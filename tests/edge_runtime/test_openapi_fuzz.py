"""Schemathesis against a real gateway, by its own API document, with every check.

A short run; `FUZZ_EXAMPLES` says how many requests of each kind a longer one sends.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.edge_runtime.gateways import Gateway, install_tiny
from tests.models import onnx_bytes

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
SHORT_S = 120.0
PER_EXAMPLE_S = 10.0


RICH = (
    ("numbers", TensorProto.INT64, ["n", 2]),
    ("words", TensorProto.STRING, ["n"]),
    ("flags", TensorProto.BOOL, ["n"]),
    ("halves", TensorProto.FLOAT16, ["n", "k"]),
    ("picture", TensorProto.UINT8, ["n", 2, 2]),
)
SCALAR = (("x", TensorProto.DOUBLE, []),)


def echo_model(inputs):
    """Return a model that gives back what it takes."""
    return onnx_bytes(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name, *_ in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(f"{n}_out", *rest) for n, *rest in inputs],
    )


@pytest.fixture
def gateway(tmp_path):
    state_dir, models_dir = tmp_path / "state", tmp_path / "models"
    install_tiny(state_dir, "a", 3, is_active=True)
    for name, inputs in (("rich", RICH), ("scalar", SCALAR)):
        directory = models_dir / name / "1"
        directory.mkdir(parents=True)
        (directory / "model.onnx").write_bytes(echo_model(inputs))
    gateway = Gateway(state_dir, PACKHORSE_MODELS_DIR=str(models_dir))
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.mark.timeout(SHORT_S + 2 * PER_EXAMPLE_S * EXAMPLES)
def test_no_request_gets_an_answer_that_the_document_does_not_foresee(
    gateway, tmp_path
):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", HERE / "schemathesis.toml"),
            *("run", f"http://127.0.0.1:{gateway.port}/openapi.json"),
            *("--checks", "all", "--max-examples", str(EXAMPLES)),
            *("--request-timeout", "10", "--continue-on-failure", "--no-color"),
        ],
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "tests.edge_runtime.schemathesis_hooks",
            "PYTHONPATH": str(HERE.parents[1]),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SHORT_S + PER_EXAMPLE_S * EXAMPLES,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "request_failed" not in gateway.log.read_text()
