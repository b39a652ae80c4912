"""What a person sets, read once from a mapping into values that cannot be wrong.

`__main__` passes `os.environ`; tests pass a dictionary. A missing or wrong
setting is a `SettingsError` that names it and says what was expected.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.environment import Environment
from edge_runtime.errors import SettingsError
from packhorse.errors import PackhorseError
from packhorse.names import (
    RING_MAX,
    SHA256,
    check_device,
    check_model,
    check_variant,
)

_PORT_MAX = 65_535
_AGENT_NEEDS = (
    "PACKHORSE_STATE_DIR",
    "PACKHORSE_DEVICE",
    "PACKHORSE_RING",
    "PACKHORSE_MODEL",
    "PACKHORSE_REPOSITORY_URL",
    "PACKHORSE_ROOT_FILE",
    "PACKHORSE_ENROLL_URL",
    "PACKHORSE_REPORT_URL",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes from its clients before it says no.

    Attributes:
        body_max_bytes: Largest request body: Vertex AI passes 10 MB on dedicated
            endpoints; a gateway's client may send images as JSON.
        head_s: Time from a request's first byte to the end of its head.
        body_s: Time from there to the end of its body.
        idle_s: Time a connection may wait between two requests.
        write_s: Time a client may leave an answer unread.
        connections_max: Connections open at once in one worker.
        queue_max: Requests that may wait for a thread in one worker.
        bodies_max_bytes: Memory that long bodies may take together, from their
            first byte to their answer, in one worker.
        run_s: Time that the model may take for one request.
        memory_max_bytes: Address space of one worker beside eight times its model,
            so that an input that asks for a giant tensor gets an error.
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
        ready_s: Time a worker may take to load a model and run its samples.
        retry_s: Time until a slot that nobody could serve is tried again.
        drain_s: Time an idle connection of a replaced worker stays open.
        stop_s: Time running requests get to finish when told to stop.
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


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where notices come from; a gateway without them only polls."""

    url: str
    protocol: str
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What the update agent needs."""

    state_dir: Path
    device: str
    ring: int
    model: str
    variants: tuple[str, ...]
    repository_url: str
    root_file: Path
    enroll_url: str
    enroll_token: str
    report_url: str
    mqtt: MqttSettings | None
    poll_s: float
    probation_s: float


def serve_settings(values: Mapping[str, str]) -> ServeSettings:
    """Read what `edge-runtime serve` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    environ = Environment(values)
    if "AIP_HTTP_PORT" in environ:
        return _container_serve_settings(environ)
    host, port = _listen(environ)
    return ServeSettings(
        host=host,
        port=port,
        state_dir=_state_dir(environ),
        probation_s=environ.seconds("PACKHORSE_PROBATION_S", default=60.0),
        limits=_limits(environ),
    )


def agent_settings(values: Mapping[str, str]) -> AgentSettings:
    """Read what `edge-runtime agent` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    environ = Environment(values)
    environ.require(*_AGENT_NEEDS)
    return AgentSettings(
        state_dir=_state_dir(environ),
        device=environ.checked("PACKHORSE_DEVICE", check_device),
        ring=environ.integer("PACKHORSE_RING", high=RING_MAX),
        model=environ.checked("PACKHORSE_MODEL", check_model),
        variants=_variants(environ),
        repository_url=environ.url("PACKHORSE_REPOSITORY_URL"),
        root_file=environ.file("PACKHORSE_ROOT_FILE"),
        enroll_url=environ.url("PACKHORSE_ENROLL_URL"),
        enroll_token=environ.text("PACKHORSE_ENROLL_TOKEN", ""),
        report_url=environ.url("PACKHORSE_REPORT_URL"),
        mqtt=_mqtt(environ),
        poll_s=environ.seconds("PACKHORSE_POLL_S", default=300.0),
        probation_s=environ.seconds("PACKHORSE_PROBATION_S", default=60.0),
    )


def state_dir(values: Mapping[str, str]) -> Path:
    """Read where this gateway keeps its slots, keys and reports."""
    return _state_dir(Environment(values))


def _state_dir(environ: Environment) -> Path:
    path = Path(environ.required("PACKHORSE_STATE_DIR"))
    if not path.is_absolute():
        raise SettingsError(
            f"PACKHORSE_STATE_DIR must be an absolute path, not {str(path)!r}"
        )
    return path


def _container_serve_settings(environ: Environment) -> ServeSettings:
    storage = environ.text("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    if "://" not in storage:
        storage = f"http://{storage}"
    container = ContainerSettings(
        health_route=environ.route("AIP_HEALTH_ROUTE"),
        predict_route=environ.route("AIP_PREDICT_ROUTE"),
        storage_uri=environ.matching("AIP_STORAGE_URI", r"gs://[^/]+/.+"),
        bundle_sha256=environ.matching("PACKHORSE_BUNDLE_SHA256", SHA256),
        storage_url=storage.rstrip("/"),
        metadata_host=environ.text("GCE_METADATA_HOST", "metadata.google.internal"),
    )
    return ServeSettings(
        # Vertex AI reaches the container from outside and sends no token.
        host=environ.text("PACKHORSE_LISTEN_HOST", "0.0.0.0"),  # noqa: S104
        port=environ.integer("AIP_HTTP_PORT", high=_PORT_MAX),
        state_dir=Path(environ.text("PACKHORSE_STATE_DIR", "")),
        limits=_limits(environ),
        container=container,
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
    )


def _listen(environ: Environment) -> tuple[str, int]:
    text = environ.text("PACKHORSE_LISTEN", "127.0.0.1:8080")
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise SettingsError(
            f"PACKHORSE_LISTEN must be an IP address and a port,"
            f" as 127.0.0.1:8080, not {text!r}"
        ) from error
    if not address.is_loopback:
        # A token for clients from outside comes with a later issue.
        raise SettingsError(
            f"PACKHORSE_LISTEN must be a loopback address, not {text!r}:"
            " clients are not asked who they are"
        )
    return str(address), environ.in_range("PACKHORSE_LISTEN", port, _PORT_MAX)


def _mqtt(environ: Environment) -> MqttSettings | None:
    url = environ.text("PACKHORSE_MQTT_URL", "")
    if not url:
        return None
    return MqttSettings(
        url=environ.matching("PACKHORSE_MQTT_URL", r"mqtts?://.+"),
        protocol=environ.matching("PACKHORSE_MQTT_PROTOCOL", r"5|3\.1\.1", default="5"),
        ca_file=environ.optional_file("PACKHORSE_MQTT_CA_FILE"),
        cert_file=environ.optional_file("PACKHORSE_MQTT_CERT_FILE"),
        key_file=environ.optional_file("PACKHORSE_MQTT_KEY_FILE"),
    )


def _variants(environ: Environment) -> tuple[str, ...]:
    text = environ.text("PACKHORSE_VARIANTS", "fp32")
    try:
        return tuple(check_variant(name.strip()) for name in text.split(","))
    except PackhorseError as error:
        raise SettingsError(f"PACKHORSE_VARIANTS: {error}") from error
