"""Who runs in the ring: the command of each server, and what it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.serving.samples import SHAPES

OURS = "packhorse"
UNBATCHED = "packhorse-unbatched"
LIMIT = "limit"
TRITON = "triton"
TRITON_ONE = "triton-one"
TRITON_BATCHING = "triton-batching"
FASTAPI = "fastapi"
MLSERVER = "mlserver"
LITSERVE = "litserve"
VERTEX = "vertex"

_V2 = "/v2/models/{model}/infer"
_PEERS = "bench.serving.peers"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One server.

    In `command` and `environ`, `{bin}` is its environment's folder of programs,
    `{port}`, `{port2}` and `{port3}` are free ports, `{directory}` is a folder of
    its own, and `{repository}` a model repository that holds only `{model}`.

    Attributes:
        title: What it is, for the table; its version is put behind.
        package: Whose version that is.
        venv: Its environment under `.cache/bench/venvs`; empty where it has none.
        paths: Where to post, by form. The first is what it is known for.
        models: What it takes part in.
        boot_s: Time it may take until its first answer.
        is_constant: Its answers are no predictions.
    """

    name: str
    title: str
    command: tuple[str, ...]
    paths: Mapping[str, str]
    package: str = ""
    venv: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = tuple(SHAPES)
    boot_s: float = 60.0
    is_constant: bool = False

    def form(self, wish: str) -> str | None:
        """Return the form in which it takes what is wished, None where in none.

        Args:
            wish: A form, or `json` for its own kind of JSON.
        """
        if wish == "json":
            return next((f for f in ("v2", "instances", "bare") if f in self.paths), "")
        return wish if wish in self.paths else None


_OUR_COMMAND = ("{edge_runtime}", "serve")
_OUR_PATHS = {"v2": _V2, "binary": _V2, "instances": "/v1/models/{model}:predict"}
_OUR_ENVIRON = {
    "PACKHORSE_STATE_DIR": "{directory}/state",
    "PACKHORSE_LISTEN": "127.0.0.1:{port}",
    "PACKHORSE_MODELS_DIR": "{repository}",
}

ENTRANTS = (
    Entrant(
        name=OURS,
        title="Packhorse",
        command=_OUR_COMMAND,
        paths=_OUR_PATHS,
        environ=_OUR_ENVIRON,
    ),
    Entrant(
        name=UNBATCHED,
        title="Packhorse, batching off",
        command=_OUR_COMMAND,
        paths=_OUR_PATHS,
        environ={**_OUR_ENVIRON, "PACKHORSE_BATCH_ROWS_MAX": "1"},
        models=("S", "W"),
    ),
    Entrant(
        name=TRITON,
        title="Triton, Python backend",
        package="nvidia-pytriton",
        venv="triton",
        command=("{bin}/python", "-m", f"{_PEERS}.triton_start"),
        paths={"v2": _V2, "binary": _V2},
        boot_s=90.0,
    ),
    Entrant(
        name=TRITON_ONE,
        title="Triton, Python backend, one instance",
        package="nvidia-pytriton",
        venv="triton",
        command=("{bin}/python", "-m", f"{_PEERS}.triton_start"),
        paths={"v2": _V2, "binary": _V2},
        environ={"BENCH_WORKERS": "1"},
        boot_s=90.0,
    ),
    Entrant(
        name=TRITON_BATCHING,
        title="Triton, Python backend, dynamic batching",
        package="nvidia-pytriton",
        venv="triton",
        command=("{bin}/python", "-m", f"{_PEERS}.triton_start", "batching"),
        paths={"v2": _V2, "binary": _V2},
        models=("S", "W"),
        boot_s=90.0,
    ),
    Entrant(
        name=FASTAPI,
        title="FastAPI on uvicorn",
        package="fastapi",
        venv="fastapi",
        command=(
            *("{bin}/uvicorn", f"{_PEERS}.fastapi_app:app", "--port", "{port}"),
            *("--workers", "{workers}", "--no-access-log", "--log-level", "warning"),
        ),
        paths={"v2": _V2},
    ),
    Entrant(
        name=MLSERVER,
        title="MLServer",
        package="mlserver",
        venv="mlserver",
        command=(
            *("{bin}/python", "-m", f"{_PEERS}.mlserver_start"),
            *("{port2}", "{port3}"),
        ),
        paths={"v2": _V2},
    ),
    Entrant(
        name=LITSERVE,
        title="LitServe",
        package="litserve",
        venv="litserve",
        command=("{bin}/python", "-m", f"{_PEERS}.litserve_api"),
        paths={"bare": "/predict"},
    ),
    Entrant(
        name=VERTEX,
        title="Vertex AI's own server",
        package="google-cloud-aiplatform",
        venv="vertex",
        command=(
            *("{bin}/uvicorn", "--factory", "--port", "{port}", "--no-access-log"),
            *("--workers", "{workers}", "--log-level", "warning"),
            "google.cloud.aiplatform.prediction.model_server:CprModelServer",
        ),
        paths={"instances": "/predict"},
        environ={
            "HANDLER_MODULE": "google.cloud.aiplatform.prediction.handler",
            "HANDLER_CLASS": "PredictionHandler",
            "PREDICTOR_MODULE": f"{_PEERS}.vertex_predictor",
            "PREDICTOR_CLASS": "OnnxPredictor",
            "AIP_HTTP_PORT": "{port}",
            "AIP_HEALTH_ROUTE": "/health",
            "AIP_PREDICT_ROUTE": "/predict",
            "AIP_STORAGE_URI": "{repository}",
        },
        boot_s=90.0,
    ),
    Entrant(
        name=LIMIT,
        title="C server that answers constant bytes",
        command=("{cache}/limit", "{port}"),
        paths={"v2": _V2, "binary": _V2, "instances": "/predict"},
        is_constant=True,
    ),
)
"""In the order of the ring."""
