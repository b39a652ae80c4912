"""Schemathesis against a real gateway, by its own API document, with every check."""

import os
import subprocess
import sys
from pathlib import Path

from onnx import TensorProto, helper

from tests.edge_runtime.gateways import Gateway, install_tiny
from tests.edge_runtime.repositories import put
from tests.models import onnx_bytes

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "edge_runtime" / "schemathesis.toml"

RICH = (
    ("numbers", TensorProto.INT64, ["n", 2]),
    ("words", TensorProto.STRING, ["n"]),
    ("flags", TensorProto.BOOL, ["n"]),
    ("halves", TensorProto.FLOAT16, ["n", "k"]),
    ("picture", TensorProto.UINT8, ["n", 2, 2]),
)
SCALAR = (("x", TensorProto.DOUBLE, []),)
"""Few models, since every one has operations of its own in the document."""


def start_described_gateway(place):
    """Start a gateway with models of every kind that JSON Schema tells apart."""
    state_dir, models_dir = place / "state", place / "models"
    install_tiny(state_dir, "a", 3, is_active=True)
    for name, inputs in (("rich", RICH), ("scalar", SCALAR)):
        put(models_dir, name, 1, _echo_model(inputs))
    gateway = Gateway(state_dir, PACKHORSE_MODELS_DIR=str(models_dir))
    gateway.wait_ready()
    return gateway


def fuzz_by_document(gateway, cwd, *wishes, timeout_s):
    """Run schemathesis.

    Args:
        cwd: Where it leaves its notes.
        wishes: More of its options, such as how long it may take.
    """
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG),
            *("run", f"http://127.0.0.1:{gateway.port}/openapi.json"),
            *("--checks", "all", "--continue-on-failure", "--no-color"),
            *("--request-timeout", "20"),
            *map(str, wishes),
        ],
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "tests.edge_runtime.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
        },
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _echo_model(inputs):
    """Return a model that gives back what it takes."""
    return onnx_bytes(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name, *_ in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(f"{n}_out", *rest) for n, *rest in inputs],
    )
