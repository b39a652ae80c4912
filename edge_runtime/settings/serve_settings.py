"""What a person sets for the server, read once into values that cannot be wrong.

`__main__` passes `os.environ`; tests pass a dictionary. A missing or wrong
setting is a `SettingsError` that names it and says what was expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from edge_runtime.errors import SettingsError
from edge_runtime.settings.access_settings import (
    AccessSettings,
    read_access,
    read_listen,
)
from edge_runtime.settings.environment import Environment
from packhorse.names import SHA256

_PORT_MAX = 65_535
_PROCESSES_MAX = 64
_FAILURES_MAX = 1000


NO_RELEASE = "no release is installed yet"
"""Why a new gateway is not ready: no fault, but what it waits for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process of a server takes from its clients before it says no.

    Attributes:
        body_max_bytes: Largest request body: Vertex AI passes 10 MB on dedicated
            endpoints; a gateway's client may send images as JSON.
        head_s: Time from a request's first byte to the end of its head.
        body_s: Time from there to the end of its body.
        idle_s: Time a connection may wait between two requests.
        write_s: Time a client may leave an answer unread.
        connections_max: Connections open at once.
        queue_max: Requests that may wait for a model or a thread.
        bodies_max_bytes: Memory that long bodies may take together, from their
            first byte to their answer.
        run_s: Time that the model may take for one request.
        memory_max_bytes: Address space of one process beside eight times its model,
            so that an input that asks for a giant tensor gets an error.
        batches_ahead_max: Batches of one model that a request may wait behind; one
            that would wait behind more is refused at once.
        batch_rows_max: Rows that are run together; 1 runs every request alone.
    """

    body_max_bytes: int = 64 * 1024 * 1024
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    write_s: float = 30.0
    connections_max: int = 1000
    queue_max: int = 256
    bodies_max_bytes: int = 256 * 1024 * 1024
    run_s: float = 30.0
    memory_max_bytes: int = 4 * 1024**3
    batches_ahead_max: int = 64
    batch_rows_max: int = 64


Policy = Literal["full", "summary", "off"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is kept of requests and answers, and how much of it.

    Attributes:
        ratio: Share of the requests that are kept, in [0, 1].
        policy: Whole tensors, a summary of each, or nothing at all.
        max_bytes: Disk that all segments take together; the oldest go first.
    """

    ratio: float = 0.01
    policy: Policy = "summary"
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How the owner of a gateway watches a new release on its probation.

    Attributes:
        command: A line for the shell that ends with 0 where all is well; "" for none.
        every_s: Time from one run of it to the next.
        limit_s: Time that one run may take.
        failures_max: Runs in a row that may fail before the release is gone back from.
    """

    command: str = ""
    every_s: float = 5.0
    limit_s: float = 5.0
    failures_max: int = 3


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """What Vertex AI tells a serving container, and which bundle it may serve.

    Source: Vertex AI, "Custom container requirements for inference".
    """

    health_route: str
    predict_route: str
    storage_uri: str
    bundle_sha256: str
    storage_url: str
    metadata_host: str


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What the supervisor and its workers need.

    Attributes:
        container: Set on Vertex AI, where the bundle is fetched at start.
        models_dir: Models beside the slot's release, as
            `<name>/<version>/model.onnx`.
        allow_load: Whether clients may load and unload those.
        processes: How many processes of one worker answer.
        access: What clients must show; None for nothing.
        ready_s: Time a worker may take to load a model and run its samples.
        retry_s: Time until a slot that nobody could serve is tried again.
        drain_s: Time an idle connection of a replaced worker stays open.
        stop_s: Time running requests get to finish when told to stop.
        health: How its owner watches a new release.
    """

    host: str
    port: int
    state_dir: Path
    probation_s: float = 60.0
    ready_s: float = 120.0
    retry_s: float = 30.0
    drain_s: float = 5.0
    stop_s: float = 10.0
    limits: Limits = field(default_factory=Limits)
    container: ContainerSettings | None = None
    models_dir: Path | None = None
    allow_load: bool = False
    processes: int = 1
    access: AccessSettings | None = None
    prediction_log: LogSettings = field(default_factory=LogSettings)
    health: HealthSettings = field(default_factory=HealthSettings)

    def __post_init__(self) -> None:
        """Refuse what cannot go together."""
        if self.allow_load and self.processes > 1:
            raise SettingsError(
                "PACKHORSE_ALLOW_LOAD needs PACKHORSE_PROCESSES=1, came"
                f" {self.processes}: the other processes would not hear of it"
            )


def serve_settings(values: Mapping[str, str]) -> ServeSettings:
    """Read what `edge-runtime serve` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    environ = Environment(values)
    container = _container(environ) if "AIP_HTTP_PORT" in environ else None
    access = read_access(environ)
    host, port = _place(environ, access)
    return ServeSettings(
        host=host,
        port=port,
        state_dir=_serve_dir(environ),
        probation_s=environ.seconds("PACKHORSE_PROBATION_S", default=60.0),
        stop_s=environ.seconds("PACKHORSE_STOP_S", default=10.0),
        limits=_limits(environ),
        container=container,
        models_dir=environ.optional_directory("PACKHORSE_MODELS_DIR"),
        allow_load=environ.flag("PACKHORSE_ALLOW_LOAD"),
        processes=environ.integer(
            "PACKHORSE_PROCESSES", low=1, high=_PROCESSES_MAX, default=1
        ),
        access=access,
        prediction_log=_prediction_log(environ),
        health=_health(environ),
    )


def state_dir(values: Mapping[str, str]) -> Path:
    """Read where this gateway keeps its slots, keys and reports.

    Raises:
        SettingsError: There is no such folder; none is made.
    """
    path = Environment(values).directory("PACKHORSE_STATE_DIR")
    if not path.is_dir():
        raise SettingsError(
            f"PACKHORSE_STATE_DIR must name a gateway's folder, and {path} is none"
        )
    return path


def _serve_dir(environ: Environment) -> Path:
    """Return the state directory; a container has one for as long as it runs."""
    if "AIP_HTTP_PORT" in environ:
        return Path(environ.text("PACKHORSE_STATE_DIR", ""))
    return environ.directory("PACKHORSE_STATE_DIR")


def _place(environ: Environment, access: AccessSettings | None) -> tuple[str, int]:
    """Return the address and the port to listen on."""
    if "AIP_HTTP_PORT" not in environ:
        return read_listen(environ, access)
    # Vertex AI reaches the container from outside and sends no token.
    host = environ.text("PACKHORSE_LISTEN_HOST", "0.0.0.0")  # noqa: S104
    return host, environ.integer("AIP_HTTP_PORT", high=_PORT_MAX)


def _container(environ: Environment) -> ContainerSettings:
    storage = environ.text("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    if "://" not in storage:
        storage = f"http://{storage}"
    return ContainerSettings(
        health_route=environ.route("AIP_HEALTH_ROUTE"),
        predict_route=environ.route("AIP_PREDICT_ROUTE"),
        storage_uri=environ.matching("AIP_STORAGE_URI", r"gs://[^/]+/.+"),
        bundle_sha256=environ.matching("PACKHORSE_BUNDLE_SHA256", SHA256),
        storage_url=storage.rstrip("/"),
        metadata_host=environ.text("GCE_METADATA_HOST", "metadata.google.internal"),
    )


def _prediction_log(environ: Environment) -> LogSettings:
    standard = LogSettings()
    policy = environ.choice(
        "PACKHORSE_PREDICTION_LOG", get_args(Policy), default=standard.policy
    )
    return LogSettings(
        ratio=environ.ratio("PACKHORSE_PREDICTION_LOG_RATIO", default=standard.ratio),
        policy=cast("Policy", policy),
        max_bytes=environ.integer(
            "PACKHORSE_PREDICTION_LOG_MAX_BYTES",
            high=1024**4,
            default=standard.max_bytes,
        ),
    )


def _health(environ: Environment) -> HealthSettings:
    standard = HealthSettings()
    return HealthSettings(
        command=environ.text("PACKHORSE_HEALTH_COMMAND", standard.command),
        every_s=environ.seconds("PACKHORSE_HEALTH_EVERY_S", default=standard.every_s),
        limit_s=environ.seconds("PACKHORSE_HEALTH_LIMIT_S", default=standard.limit_s),
        failures_max=environ.integer(
            "PACKHORSE_HEALTH_FAILURES_MAX",
            low=1,
            high=_FAILURES_MAX,
            default=standard.failures_max,
        ),
    )


def _limits(environ: Environment) -> Limits:
    standard = Limits()
    body_max_bytes = environ.integer(
        "PACKHORSE_BODY_MAX_BYTES", high=1024**3, default=standard.body_max_bytes
    )
    return Limits(
        body_max_bytes=body_max_bytes,
        # Room for two of the longest.
        bodies_max_bytes=max(standard.bodies_max_bytes, 2 * body_max_bytes),
        head_s=environ.seconds("PACKHORSE_HEAD_S", default=standard.head_s),
        body_s=environ.seconds("PACKHORSE_BODY_S", default=standard.body_s),
        idle_s=environ.seconds("PACKHORSE_IDLE_S", default=standard.idle_s),
        write_s=environ.seconds("PACKHORSE_WRITE_S", default=standard.write_s),
        run_s=environ.seconds("PACKHORSE_RUN_S", default=standard.run_s),
        memory_max_bytes=environ.integer(
            "PACKHORSE_MEMORY_MAX_BYTES",
            high=1024**4,
            default=standard.memory_max_bytes,
        ),
        batches_ahead_max=environ.integer(
            "PACKHORSE_BATCHES_AHEAD_MAX",
            low=1,
            high=1_000_000,
            default=standard.batches_ahead_max,
        ),
        batch_rows_max=environ.integer(
            "PACKHORSE_BATCH_ROWS_MAX",
            low=1,
            high=1_000_000,
            default=standard.batch_rows_max,
        ),
    )
