"""Read a function's settings into values that cannot be wrong.

Each loader takes the environment as a mapping and names every variable that it
reads literally: `tests/functions/test_deploy_yaml.py` follows entry file,
`wiring.py` and this module, and holds `deploy.yaml` to exactly those names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from functions.errors import SettingsError
from functions.variables import (
    endpoint,
    integer,
    key_uri,
    number,
    objects,
    optional,
    text,
    url,
    words,
)

_DAY_S = 86_400
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?/[a-z0-9:.-]+/[a-z0-9._-]+")
_WORKFLOW = re.compile(r"projects/[^/]+/locations/[^/]+/workflows/[^/]+")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """Whose tokens a function accepts.

    Attributes:
        issuer: The tokens' `iss`.
        certs_url: Where the issuer publishes its keys, as a JWKS.
        audience: This function's own URL: the tokens' `aud`.
        allowed_callers: The tokens' `email`, any of these.
    """

    issuer: str
    certs_url: str
    audience: str
    allowed_callers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Which of the registry's notices concern us.

    Attributes:
        repository: `HOST/PROJECT/REPOSITORY` that holds the models.
        max_age_s: Older notices are refused: they come from a backlog that
            nobody looked at, and what they announce may be long superseded.
        variants: What every release is packaged as.
    """

    repository: str
    max_age_s: int
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """Where releases are served on Vertex AI, and by what.

    Attributes:
        api_url: Base URL of the regional API.
        parent: `projects/P/locations/L`, which holds models and endpoints.
        image: The serving container's image, in Artifact Registry.
        machine_type: What one replica runs on.
        min_replicas: Replicas that always run.
        max_replicas: Replicas under load.
        service_account: Whom the container acts as; empty for Vertex AI's own.
    """

    api_url: str
    parent: str
    image: str
    machine_type: str
    min_replicas: int
    max_replicas: int
    service_account: str


@dataclass(frozen=True, slots=True)
class ModelEndpoints:
    """Where a model is deployed: `projects/P/locations/L/endpoints/E`, twice.

    Attributes:
        candidate: Where a release stands alone while parity is proved.
        serving: What callers reach.
    """

    candidate: str
    serving: str


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a ring must show before the next one opens; see `release/gate.py`."""

    min_success_ratio: float
    soak_s: float
    patience_s: float
    fleet_share: float


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where notices go.

    Attributes:
        url: mqtt:// or mqtts://; empty when there is no broker.
        protocol: "5" or "3.1.1".
        ca_file: Who vouches for the broker; empty for the system's.
        cert_file: Our own certificate; empty for none.
        key_file: Its key.
    """

    url: str
    protocol: str
    ca_file: str
    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class WorkflowSettings:
    """The workflow that deploys a release.

    Attributes:
        api_url: Base URL of the Workflow Executions API.
        workflow: `projects/P/locations/L/workflows/release`.
    """

    api_url: str
    workflow: str


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """What the prediction function answers for.

    Attributes:
        api_url: Base URL of the regional API.
        endpoints: Model to the name of its serving endpoint.
        pins: Model to the only release that should answer, `magika@2`.
        is_pin_enforced: Whether an answer of another release is refused.
        timeout_s: What upstream may take for one answer.
    """

    api_url: str
    endpoints: Mapping[str, str]
    pins: Mapping[str, str]
    is_pin_enforced: bool
    timeout_s: float


def caller_settings(env: Mapping[str, str]) -> CallerSettings:
    """Read whose tokens this function accepts."""
    return CallerSettings(
        issuer=text(env, "OIDC_ISSUER", "https://accounts.google.com"),
        certs_url=url(
            env, "OIDC_CERTS_URL", "https://www.googleapis.com/oauth2/v3/certs"
        ),
        audience=text(env, "FUNCTION_AUDIENCE"),
        allowed_callers=frozenset(words(env, "ALLOWED_CALLERS")),
    )


def ledger_url(env: Mapping[str, str]) -> str:
    """Read where the ledger is, as a SQLAlchemy URL."""
    value = text(env, "LEDGER_URL")
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        # The value is not shown: it holds a password.
        raise SettingsError(
            "LEDGER_URL must be sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
        )
    return value


def project(env: Mapping[str, str]) -> str:
    """Read the Google Cloud project that owns the topics."""
    return text(env, "GOOGLE_CLOUD_PROJECT")


def bundle_bucket(env: Mapping[str, str]) -> str:
    """Read the bucket that gateways read: metadata and bundles."""
    return text(env, "BUNDLE_BUCKET")


def device_bucket(env: Mapping[str, str]) -> str:
    """Read the bucket that gateways cannot read: device keys, enrolments."""
    return text(env, "DEVICE_BUCKET")


def notice_settings(env: Mapping[str, str]) -> NoticeSettings:
    """Read which of the registry's notices concern us."""
    return NoticeSettings(
        repository=model_repository(env),
        max_age_s=integer(env, "NOTICE_MAX_AGE_S", _DAY_S, low=60),
        variants=variants(env),
    )


def stuck_after_s(env: Mapping[str, str]) -> int:
    """Read how long a release may stand still before it is named, in seconds.

    Longer than a message may be retried and a variant may take to package.
    """
    return integer(env, "STUCK_AFTER_S", 900, low=1)


def model_repository(env: Mapping[str, str]) -> str:
    """Read `HOST/PROJECT/REPOSITORY`, as notices name it."""
    value = text(env, "MODEL_REPOSITORY")
    if not _REPOSITORY.fullmatch(value):
        raise SettingsError(
            "MODEL_REPOSITORY must be HOST/PROJECT/REPOSITORY, as in "
            f"europe-west4-docker.pkg.dev/my-project/models; it is {value!r}"
        )
    return value


def variants(env: Mapping[str, str]) -> tuple[str, ...]:
    """Read what every release is packaged as."""
    names = words(env, "VARIANTS", "fp32")
    for name in names:
        if not _VARIANT.fullmatch(name):
            raise SettingsError(f"VARIANTS must be names like fp32; one is {name!r}")
    return names


def vertex_url(env: Mapping[str, str]) -> str:
    """Read the base URL of Vertex AI's regional API."""
    region = text(env, "REGION")
    return url(env, "VERTEX_ENDPOINT", f"https://{region}-aiplatform.googleapis.com")


def serving_settings(env: Mapping[str, str]) -> ServingSettings:
    """Read where and by what releases are served."""
    project, region = text(env, "GOOGLE_CLOUD_PROJECT"), text(env, "REGION")
    return ServingSettings(
        api_url=vertex_url(env),
        parent=f"projects/{project}/locations/{region}",
        image=text(env, "SERVING_IMAGE"),
        machine_type=text(env, "SERVING_MACHINE_TYPE", "n1-standard-2"),
        min_replicas=integer(env, "SERVING_MIN_REPLICAS", 1, low=1),
        max_replicas=integer(env, "SERVING_MAX_REPLICAS", 1, low=1),
        service_account=optional(env, "SERVING_SERVICE_ACCOUNT"),
    )


def model_endpoints(env: Mapping[str, str]) -> Mapping[str, ModelEndpoints]:
    """Read where each model is deployed."""
    models = objects(env, "MODEL_ENDPOINTS")
    return {
        model: ModelEndpoints(
            candidate=endpoint(named, "candidate"), serving=endpoint(named, "serving")
        )
        for model, named in models.items()
    }


def gate_settings(env: Mapping[str, str]) -> GateSettings:
    """Read what a ring must show before the next one opens."""
    return GateSettings(
        min_success_ratio=number(env, "MIN_SUCCESS_RATIO", 0.9),
        soak_s=number(env, "RING_SOAK_S", float(_DAY_S)),
        patience_s=number(env, "RING_PATIENCE_S", 7.0 * _DAY_S),
        fleet_share=number(env, "FLEET_SHARE", 0.05),
    )


def broker_settings(env: Mapping[str, str]) -> BrokerSettings:
    """Read where notices go."""
    address = optional(env, "MQTT_URL")
    if address and not address.startswith(("mqtt://", "mqtts://")):
        raise SettingsError(f"MQTT_URL must be mqtt:// or mqtts://, not {address!r}")
    protocol = text(env, "MQTT_PROTOCOL", "5")
    if protocol not in {"5", "3.1.1"}:
        raise SettingsError(f"MQTT_PROTOCOL must be 5 or 3.1.1, not {protocol!r}")
    return BrokerSettings(
        url=address,
        protocol=protocol,
        ca_file=optional(env, "MQTT_CA_FILE"),
        cert_file=optional(env, "MQTT_CERT_FILE"),
        key_file=optional(env, "MQTT_KEY_FILE"),
    )


def workflow_settings(env: Mapping[str, str]) -> WorkflowSettings:
    """Read which workflow deploys a release."""
    workflow = text(env, "RELEASE_WORKFLOW")
    if not _WORKFLOW.fullmatch(workflow):
        raise SettingsError(
            "RELEASE_WORKFLOW must be projects/P/locations/L/workflows/W; "
            f"it is {workflow!r}"
        )
    default = "https://workflowexecutions.googleapis.com"
    return WorkflowSettings(url(env, "WORKFLOWS_ENDPOINT", default), workflow)


def predict_settings(env: Mapping[str, str]) -> PredictSettings:
    """Read what the prediction function answers for."""
    models = objects(env, "MODEL_ENDPOINTS")
    pins = objects(env, "MODEL_PIN") if optional(env, "MODEL_PIN") else {}
    return PredictSettings(
        api_url=vertex_url(env),
        endpoints={name: endpoint(named, "serving") for name, named in models.items()},
        pins={model: str(release) for model, release in pins.items()},
        is_pin_enforced=optional(env, "MODEL_PIN_ENFORCE") == "1",
        # What a shared endpoint allows; gcp.md, 2.2.
        timeout_s=number(env, "PREDICT_TIMEOUT_S", 60.0, low=0.1),
    )


def registry_url(env: Mapping[str, str]) -> str:
    """Read where the registry answers: at the host that notices name."""
    host = model_repository(env).partition("/")[0]
    return url(env, "REGISTRY_ENDPOINT", f"https://{host}")


def release_max_bytes(env: Mapping[str, str]) -> int:
    """Read how long the files of one push may be together, in bytes.

    They are staged twice and loaded once: the function's memory must be six
    times as large.
    """
    return integer(env, "RELEASE_MAX_BYTES", 512 * 1024**2, low=1)


def release_key_uris(env: Mapping[str, str]) -> Mapping[str, str]:
    """Read the keys that vouch for bundles, by model, as URIs."""
    uris = objects(env, "RELEASE_KEY_URIS")
    return {model: key_uri(uri, "RELEASE_KEY_URIS") for model, uri in uris.items()}


def rollouts_key_uri(env: Mapping[str, str]) -> str:
    """Read the key that vouches for rollout documents, as a URI."""
    return key_uri(text(env, "ROLLOUTS_KEY_URI"), "ROLLOUTS_KEY_URI")


def snapshot_key_uri(env: Mapping[str, str]) -> str:
    """Read the key that signs the repository's snapshot, as a URI."""
    return key_uri(text(env, "SNAPSHOT_KEY_URI"), "SNAPSHOT_KEY_URI")


def timestamp_key_uri(env: Mapping[str, str]) -> str:
    """Read the key that signs the repository's timestamp, as a URI."""
    return key_uri(text(env, "TIMESTAMP_KEY_URI"), "TIMESTAMP_KEY_URI")
