"""What a person sets, read once from a mapping into values that cannot be wrong.

`__main__` passes `os.environ`; tests pass a dictionary. A missing or wrong
setting is a `SettingsError` that names it and says what was expected.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import SettingsError
from packhorse.errors import PackhorseError
from packhorse.names import (
    RING_MAX,
    SHA256,
    check_device,
    check_model,
    check_variant,
)

Environment = Mapping[str, str]

_PORT_MAX = 65_535
_DAY_S = 86_400.0


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
    """

    body_max_bytes: int = 64 * 1024 * 1024
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    write_s: float = 30.0
    connections_max: int = 1000
    queue_max: int = 256


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
        drain_s: Time an idle connection of a replaced worker stays open.
        stop_s: Time running requests get to finish when told to stop.
    """

    host: str
    port: int
    state_dir: Path
    device: str = ""
    model: str = ""
    probation_s: float = 60.0
    ready_s: float = 120.0
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


def serve_settings(environ: Environment) -> ServeSettings:
    """Read what `edge-runtime serve` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    if "AIP_HTTP_PORT" in environ:
        return _container_serve_settings(environ)
    host, port = _listen(environ)
    return ServeSettings(
        host=host,
        port=port,
        state_dir=state_dir(environ),
        device=_checked(environ, "PACKHORSE_DEVICE", check_device, default=""),
        model=_checked(environ, "PACKHORSE_MODEL", check_model, default=""),
        probation_s=_seconds(environ, "PACKHORSE_PROBATION_S", default=60.0),
        limits=_limits(environ),
    )


def agent_settings(environ: Environment) -> AgentSettings:
    """Read what `edge-runtime agent` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    return AgentSettings(
        state_dir=state_dir(environ),
        device=_checked(environ, "PACKHORSE_DEVICE", check_device),
        ring=_integer(environ, "PACKHORSE_RING", high=RING_MAX),
        model=_checked(environ, "PACKHORSE_MODEL", check_model),
        variants=_variants(environ),
        repository_url=_url(environ, "PACKHORSE_REPOSITORY_URL"),
        root_file=_file(environ, "PACKHORSE_ROOT_FILE"),
        enroll_url=_url(environ, "PACKHORSE_ENROLL_URL"),
        enroll_token=environ.get("PACKHORSE_ENROLL_TOKEN", ""),
        report_url=_url(environ, "PACKHORSE_REPORT_URL"),
        mqtt=_mqtt(environ),
        poll_s=_seconds(environ, "PACKHORSE_POLL_S", default=300.0),
        probation_s=_seconds(environ, "PACKHORSE_PROBATION_S", default=60.0),
    )


def state_dir(environ: Environment) -> Path:
    """Read where this gateway keeps its slots, keys and reports."""
    path = Path(_required(environ, "PACKHORSE_STATE_DIR"))
    if not path.is_absolute():
        raise SettingsError(
            f"PACKHORSE_STATE_DIR must be an absolute path, not {str(path)!r}"
        )
    return path


def _container_serve_settings(environ: Environment) -> ServeSettings:
    storage = environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    if "://" not in storage:
        storage = f"http://{storage}"
    container = ContainerSettings(
        health_route=_route(environ, "AIP_HEALTH_ROUTE"),
        predict_route=_route(environ, "AIP_PREDICT_ROUTE"),
        storage_uri=_matching(environ, "AIP_STORAGE_URI", r"gs://[^/]+/.+"),
        bundle_sha256=_matching(environ, "PACKHORSE_BUNDLE_SHA256", SHA256),
        storage_url=storage.rstrip("/"),
        metadata_host=environ.get("GCE_METADATA_HOST", "metadata.google.internal"),
    )
    return ServeSettings(
        # Vertex AI reaches the container from outside and sends no token.
        host=environ.get("PACKHORSE_LISTEN_HOST", "0.0.0.0"),  # noqa: S104
        port=_integer(environ, "AIP_HTTP_PORT", high=_PORT_MAX),
        state_dir=Path(environ.get("PACKHORSE_STATE_DIR", "")),
        limits=_limits(environ),
        container=container,
    )


def _limits(environ: Environment) -> Limits:
    standard = Limits()
    return Limits(
        body_max_bytes=_integer(
            environ,
            "PACKHORSE_BODY_MAX_BYTES",
            high=1024**3,
            default=standard.body_max_bytes,
        ),
        head_s=_seconds(environ, "PACKHORSE_HEAD_S", default=standard.head_s),
        body_s=_seconds(environ, "PACKHORSE_BODY_S", default=standard.body_s),
        idle_s=_seconds(environ, "PACKHORSE_IDLE_S", default=standard.idle_s),
        write_s=_seconds(environ, "PACKHORSE_WRITE_S", default=standard.write_s),
    )


def _listen(environ: Environment) -> tuple[str, int]:
    text = environ.get("PACKHORSE_LISTEN", "127.0.0.1:8080")
    match = re.fullmatch(r"\[?([0-9A-Fa-f.:]+)\]?:([0-9]{1,5})", text)
    try:
        if match is None:
            raise ValueError(text)
        address = ipaddress.ip_address(match.group(1))
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
    return str(address), _in_range("PACKHORSE_LISTEN", match.group(2), 0, _PORT_MAX)


def _mqtt(environ: Environment) -> MqttSettings | None:
    url = environ.get("PACKHORSE_MQTT_URL", "")
    if not url:
        return None
    return MqttSettings(
        url=_matching(environ, "PACKHORSE_MQTT_URL", r"mqtts?://.+"),
        protocol=_matching(
            environ, "PACKHORSE_MQTT_PROTOCOL", r"5|3\.1\.1", default="5"
        ),
        ca_file=_optional_path(environ, "PACKHORSE_MQTT_CA_FILE"),
        cert_file=_optional_path(environ, "PACKHORSE_MQTT_CERT_FILE"),
        key_file=_optional_path(environ, "PACKHORSE_MQTT_KEY_FILE"),
    )


def _variants(environ: Environment) -> tuple[str, ...]:
    text = environ.get("PACKHORSE_VARIANTS", "fp32")
    try:
        return tuple(check_variant(name.strip()) for name in text.split(","))
    except PackhorseError as error:
        raise SettingsError(f"PACKHORSE_VARIANTS: {error}") from error


def _required(environ: Environment, name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"the setting {name} is missing")
    return value


def _matching(
    environ: Environment, name: str, pattern: str, *, default: str | None = None
) -> str:
    value = environ.get(name) or default or _required(environ, name)
    if re.fullmatch(pattern, value) is None:
        raise SettingsError(f"{name} must match {pattern}, not {value!r}")
    return value


def _checked(
    environ: Environment,
    name: str,
    check: Callable[[str], str],
    *,
    default: str | None = None,
) -> str:
    if default is not None and not environ.get(name):
        return default
    try:
        return check(_required(environ, name))
    except PackhorseError as error:
        raise SettingsError(f"{name}: {error}") from error


def _url(environ: Environment, name: str) -> str:
    return _matching(environ, name, r"https?://[^\s]+").rstrip("/")


def _route(environ: Environment, name: str) -> str:
    return _matching(environ, name, r"/[A-Za-z0-9._~:/-]*")


def _file(environ: Environment, name: str) -> Path:
    path = Path(_required(environ, name))
    if not path.is_file():
        raise SettingsError(f"{name} must name a file, there is none at {str(path)!r}")
    return path


def _optional_path(environ: Environment, name: str) -> Path | None:
    return _file(environ, name) if environ.get(name) else None


def _integer(
    environ: Environment, name: str, *, high: int, default: int | None = None
) -> int:
    if default is not None and not environ.get(name):
        return default
    return _in_range(name, _required(environ, name), 0, high)


def _in_range(name: str, text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise SettingsError(f"{name} must lie in {low}..{high}, not {text!r}")
    return int(text)


def _seconds(environ: Environment, name: str, *, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= _DAY_S:
        raise SettingsError(
            f"{name} must be seconds between 0 and {_DAY_S:g}, not {text!r}"
        )
    return value
