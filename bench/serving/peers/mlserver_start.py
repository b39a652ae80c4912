"""Write MLServer's two settings files, then become `mlserver start`."""

import json
import os
import sys
from pathlib import Path

from bench.serving.peers.session import DIRECTORY, MODEL, PORT


def main() -> None:
    """Become the server; the arguments are two more free ports."""
    settings = {
        "host": "127.0.0.1",
        "http_port": PORT,
        "grpc_port": int(sys.argv[1]),
        "metrics_port": int(sys.argv[2]),
        "debug": False,
        # The model runs inside the server: its workers cost three times as much.
        "parallel_workers": 0,
    }
    model = {
        "name": MODEL,
        "implementation": "bench.serving.peers.mlserver_model.OnnxModel",
        "parameters": {"uri": "."},
    }
    (DIRECTORY / "settings.json").write_text(json.dumps(settings))
    (DIRECTORY / "model-settings.json").write_text(json.dumps(model))
    mlserver = Path(sys.executable).parent / "mlserver"
    os.execv(mlserver, [str(mlserver), "start", str(DIRECTORY)])  # noqa: S606


if __name__ == "__main__":
    main()
