"""Who answers: the deployed function, what people write instead, and nobody."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.predict.samples import ENDPOINT, MODEL

OURS = "packhorse"
CLIENT = "client"
CLIENT_GRPC = "client-grpc"
SDK = "endpoint"
DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One function.

    In `environ`, `{upstream}` is where Vertex AI's stand-in answers, `{grpc}` where
    it answers gRPC.

    Attributes:
        title: What it is, for the table.
        venv: Its environment, named as its requirement file; empty for the upstream.
        source: The file that the framework loads, below the repository; empty for
            the root's `main.py` of the deploy archive.
    """

    name: str
    title: str
    venv: str = ""
    source: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"


_PEERS = "bench/predict/peers"
_MODELS = '{{"' + MODEL + '": {{"serving": "' + ENDPOINT + '"}}}}'

ENTRANTS = (
    Entrant(
        OURS,
        "ours",
        "predict",
        environ={
            "FUNCTION_USE_ASGI": "true",
            "MODEL_ENDPOINTS": _MODELS,
            "REGION": "europe-west4",
            "VERTEX_ENDPOINT": "http://{upstream}",
        },
        path=f"/v1/models/{MODEL}:predict",
    ),
    Entrant(
        CLIENT,
        "(a) PredictionServiceClient",
        "sdk",
        f"{_PEERS}/client.py",
        {"ENDPOINT": ENDPOINT, "VERTEX_HOST": "{upstream}"},
    ),
    Entrant(
        SDK,
        "(b) aiplatform.Endpoint",
        "sdk",
        f"{_PEERS}/endpoint.py",
        {"ENDPOINT": ENDPOINT, "VERTEX_HOST": "{upstream}"},
    ),
    Entrant(
        CLIENT_GRPC,
        "(a) by gRPC, smallest import",
        "sdk",
        f"{_PEERS}/client_grpc.py",
        {"ENDPOINT": ENDPOINT, "VERTEX_GRPC": "{grpc}"},
    ),
    Entrant(DIRECT, "(c) upstream directly", path=f"/v1/{ENDPOINT}:rawPredict"),
)
TITLES = {entrant.name: entrant.title for entrant in ENTRANTS}
