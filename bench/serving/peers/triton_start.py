"""Write a model repository, then become Triton's own binary.

The wheel of nvidia-pytriton brings `tritonserver` and its Python backend, but
no ONNX backend; the model runs in the backend's process, `triton_model.py`.
The argument `batching` switches Triton's dynamic batching on.
"""

import os
import sys
import sysconfig
from pathlib import Path

import pytriton

from bench.serving.peers.session import DIRECTORY, MODEL, PORT, WORKERS, open_session

_MODEL = Path(__file__).with_name("triton_model.py")
_CONFIG = """\
name: "{model}"
backend: "python"
max_batch_size: 32
input [{{ name: "x" data_type: TYPE_FP32 dims: {dims} }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }}]
instance_group [{{ count: {workers} kind: KIND_CPU }}]
"""


def main() -> None:
    """Become the server."""
    installed = Path(pytriton.__file__).parent / "tritonserver"
    backends, repository = DIRECTORY / "backends", DIRECTORY / "repository"
    _write_backend(installed, backends / "python")
    _write_model(repository / MODEL)
    server = installed / "bin" / "tritonserver"
    arguments = [
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1",
        f"--http-port={PORT}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--log-info=false",
    ]
    os.execv(server, [str(server), *arguments])  # noqa: S606


def _write_model(directory: Path) -> None:
    (directory / "1").mkdir(parents=True, exist_ok=True)
    # Triton's process for the model knows neither this environment nor us.
    paths = [sysconfig.get_paths()["purelib"], os.environ["PYTHONPATH"]]
    model = f"import sys\n\nsys.path[:0] = {paths}\n{_MODEL.read_text()}"
    (directory / "1" / "model.py").write_text(model)
    config = _CONFIG.format(
        model=MODEL, dims=open_session().get_inputs()[0].shape[1:], workers=WORKERS
    )
    if "batching" in sys.argv[1:]:
        config += "dynamic_batching { }\n"
    (directory / "config.pbtxt").write_text(config)


def _write_backend(installed: Path, directory: Path) -> None:
    """Lay the backend beside this Python's stub, which the wheel keeps elsewhere."""
    directory.mkdir(parents=True, exist_ok=True)
    stubs = f"{sys.version_info.major}.{sys.version_info.minor}"
    sources = (
        installed / "backends" / "python",
        installed / "python_backend_stubs" / stubs,
    )
    for source in (file for folder in sources for file in folder.iterdir()):
        link = directory / source.name
        if not link.exists():
            link.symlink_to(source)


if __name__ == "__main__":
    main()
