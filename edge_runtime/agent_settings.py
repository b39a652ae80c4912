"""What a person sets for the update agent, read once.

Source: docs/run-a-gateway.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.environment import Environment
from edge_runtime.errors import SettingsError
from packhorse.errors import PackhorseError
from packhorse.names import RING_MAX, check_device, check_model, check_variant

_NEEDS = (
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


def agent_settings(values: Mapping[str, str]) -> AgentSettings:
    """Read what `edge-runtime agent` needs.

    Raises:
        SettingsError: One is missing or wrong; the message names it.
    """
    environ = Environment(values)
    environ.require(*_NEEDS)
    return AgentSettings(
        state_dir=environ.directory("PACKHORSE_STATE_DIR"),
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


def _mqtt(environ: Environment) -> MqttSettings | None:
    url = environ.text("PACKHORSE_MQTT_URL", "")
    if not url:
        return None
    return MqttSettings(
        url=environ.matching("PACKHORSE_MQTT_URL", r"mqtts?://.+"),
        protocol=environ.choice("PACKHORSE_MQTT_PROTOCOL", ("5", "3.1.1"), default="5"),
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
