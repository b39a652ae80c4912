"""What every peer shares: what it was told, and the model opened the same way."""

import os
from pathlib import Path

import onnxruntime

MODEL = os.environ["BENCH_MODEL"]
MODEL_FILE = Path(os.environ["BENCH_MODEL_FILE"])
PORT = int(os.environ["BENCH_PORT"])
DIRECTORY = Path(os.environ["BENCH_DIRECTORY"])
WORKERS = int(os.environ["BENCH_WORKERS"])


def open_session() -> onnxruntime.InferenceSession:
    """Open the model with one thread, as all do."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(MODEL_FILE), options, providers=["CPUExecutionProvider"]
    )
