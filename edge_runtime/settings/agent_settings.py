"""What a person sets for the update agent, read once.

Source: docs/run-a-gateway.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge_runtime.errors import SettingsError
from edge_runtime.settings.environment import Environment
from edge_runtime.settings.site_settings import SiteSettings, site_settings
from packhorse.errors import PackhorseError
from packhorse.names import RING_MAX, check_device, check_model, check_variant
from packhorse.shadow_limits import (
    LATENCY_RATIO_MAX,
    NO_LIMITS,
    ShadowLimits,
)

ARCHIVE_BYTES = 256 * 1024 * 1024
"""Some ten of the larger models for a gateway; nothing on a disk of its size."""

_RATE_MAX_BYTES_PER_S = 10**10
_ARCHIVE_MAX_BYTES = 10**12
_SHADOW_REQUESTS_MAX = 1_000_000

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

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
class ShadowSettings:
    """How a candidate is run beside the active release, on live requests.

    Attributes:
        time_s: Longest time; 0 for a look at what has come lately.
        requests: It ends earlier after so many.
        limits: This gateway's own; they can only make the signed ones stricter.
    """

    time_s: float = 0.0
    requests: int = 200
    limits: ShadowLimits = NO_LIMITS


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
    token_url: str = ""
    ca_file: Path | None = None
    download_bytes_per_s: int = 0
    archive_bytes: int = ARCHIVE_BYTES
    site: SiteSettings = field(default_factory=SiteSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)


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
        token_url=_token_url(environ),
        ca_file=environ.optional_file("PACKHORSE_CA_FILE"),
        download_bytes_per_s=environ.integer(
            "PACKHORSE_DOWNLOAD_BYTES_PER_S", default=0, high=_RATE_MAX_BYTES_PER_S
        ),
        archive_bytes=environ.integer(
            "PACKHORSE_ARCHIVE_BYTES", default=ARCHIVE_BYTES, high=_ARCHIVE_MAX_BYTES
        ),
        site=site_settings(values),
        shadow=_shadow(environ),
    )


def _shadow(environ: Environment) -> ShadowSettings:
    ratio = "PACKHORSE_SHADOW_MAX_LATENCY_RATIO"
    return ShadowSettings(
        time_s=environ.seconds("PACKHORSE_SHADOW_S", default=60.0),
        requests=environ.integer(
            "PACKHORSE_SHADOW_REQUESTS", default=200, low=1, high=_SHADOW_REQUESTS_MAX
        ),
        limits=ShadowLimits(
            min_agreement=environ.ratio("PACKHORSE_SHADOW_MIN_AGREEMENT", default=0.0)
            or None,
            max_latency_ratio=environ.number(ratio, high=LATENCY_RATIO_MAX),
        ),
    )


def _token_url(environ: Environment) -> str:
    """Read who gives tokens for the bucket; empty where anybody may read it."""
    if "PACKHORSE_TOKEN_URL" not in environ:
        return ""
    repository = urlsplit(environ.url("PACKHORSE_REPOSITORY_URL"))
    # A token is a secret: it goes over TLS, or does not leave this machine.
    if repository.scheme != "https" and repository.hostname not in _LOOPBACK:
        raise SettingsError(
            "PACKHORSE_REPOSITORY_URL must begin with https:// where "
            "PACKHORSE_TOKEN_URL is set"
        )
    return environ.url("PACKHORSE_TOKEN_URL")


def _mqtt(environ: Environment) -> MqttSettings | None:
    url = environ.text("PACKHORSE_MQTT_URL", "")
    if not url:
        return None
    return MqttSettings(
        url=environ.matching("PACKHORSE_MQTT_URL", r"mqtts?://.+"),
        protocol=environ.choice("PACKHORSE_MQTT_PROTOCOL", ("5", "3.1.1"), default="5"),
        ca_file=environ.optional_file("PACKHORSE_MQTT_CA_FILE")
        or environ.optional_file("PACKHORSE_CA_FILE"),
        cert_file=environ.optional_file("PACKHORSE_MQTT_CERT_FILE"),
        key_file=environ.optional_file("PACKHORSE_MQTT_KEY_FILE"),
    )


def _variants(environ: Environment) -> tuple[str, ...]:
    text = environ.text("PACKHORSE_VARIANTS", "fp32")
    try:
        return tuple(check_variant(name.strip()) for name in text.split(","))
    except PackhorseError as error:
        raise SettingsError(f"PACKHORSE_VARIANTS: {error}") from error
