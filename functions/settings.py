"""Read a function's settings into values that cannot be wrong.

Each loader takes the environment as a mapping and names every variable that it
reads literally: `tests/functions/test_deploy_yaml.py` follows entry file,
`wiring.py` and this module, and holds `deploy.yaml` to exactly those names.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from functions.errors import SettingsError
from functions.predicted_models import Choices, read_models
from functions.setting_values import (
    BrokerSettings,
    CallerSettings,
    GateSettings,
    ModelEndpoints,
    NoticeSettings,
    PredictSettings,
    RolloutSource,
    ServingSettings,
    ShadowSettings,
    WorkflowSettings,
)
from functions.variables import (
    by_model,
    endpoint,
    google_url,
    integer,
    key_uri,
    number,
    objects,
    optional,
    share,
    text,
    url,
    words,
)
from packhorse.errors import MalformedError
from packhorse.strict_json import Fields
from packhorse.tolerance import Tolerance, decode_tolerances

_DAY_S = 86_400
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?/[a-z0-9:.-]+/[a-z0-9._-]+")
_WORKFLOW = re.compile(r"projects/[^/]+/locations/[^/]+/workflows/[^/]+")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


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


def sts_url(env: Mapping[str, str]) -> str:
    """Read where Google's Security Token Service answers."""
    return url(env, "STS_ENDPOINT", "https://sts.googleapis.com")


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
        shadow_min_agreement=number(env, "SHADOW_MIN_AGREEMENT", 0.99),
        shadow_min_count=integer(env, "SHADOW_MIN_COUNT", 100, low=1),
        shadow_max_latency_ratio=number(env, "SHADOW_MAX_LATENCY_RATIO", 0.0),
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
    api_url = vertex_url(env)
    choices = Choices(
        pins=by_model(env, "MODEL_PIN"),
        is_pin_enforced=optional(env, "MODEL_PIN_ENFORCE") == "1",
        shadow_shares=by_model(env, "SHADOW_SHARE"),
        retried_timeouts=optional(env, "RETRY_TIMEOUTS").replace(",", " ").split(),
    )
    return PredictSettings(
        api_url=api_url,
        models=read_models(
            objects(env, "MODEL_ENDPOINTS"),
            choices,
            api_url=api_url,
            # What a shared endpoint allows; gcp.md, 2.2.
            timeout_s=number(env, "PREDICT_TIMEOUT_S", 60.0, low=0.1),
        ),
        project=optional(env, "GOOGLE_CLOUD_PROJECT"),
        log_policy=_log_policy(text(env, "PREDICT_LOG", "summary")),
        log_ratio=share(env, "PREDICT_LOG_RATIO"),
        requests_max=integer(env, "PREDICT_REQUESTS_MAX", 1000, low=1),
        bytes_max=integer(env, "PREDICT_BYTES_MAX", 128 * 1024**2, low=1),
    )


def rollout_source(
    env: Mapping[str, str], models: Iterable[str]
) -> RolloutSource | None:
    """Read where the rollouts of `models` are followed; None where nowhere."""
    root_file = optional(env, "TRUST_ROOT_FILE")
    if not root_file:
        return None
    return RolloutSource(
        url=google_url(env, "STORAGE_EMULATOR_HOST", "https://storage.googleapis.com"),
        bucket=bundle_bucket(env),
        root_file=Path(root_file),
        models=tuple(models),
    )


def _log_policy(policy: str) -> str:
    if policy not in {"summary", "full", "off"}:
        raise SettingsError(
            f"PREDICT_LOG must be summary, full or off; it is {policy!r}"
        )
    return policy


def shadow_settings(env: Mapping[str, str]) -> ShadowSettings:
    """Read how shadow runs compare, and whom they report to."""
    project = optional(env, "GOOGLE_CLOUD_PROJECT")
    tolerances = by_model(env, "SHADOW_TOLERANCES")
    if unknown := sorted(set(tolerances) - set(by_model(env, "MODEL_ENDPOINTS"))):
        raise SettingsError(
            f"SHADOW_TOLERANCES names {unknown}, not in MODEL_ENDPOINTS"
        )
    return ShadowSettings(
        tolerances={model: _tolerances(one) for model, one in tolerances.items()},
        pubsub_url=google_url(
            env, "PUBSUB_EMULATOR_HOST", "https://pubsub.googleapis.com"
        ),
        topic=f"projects/{project}/topics/shadows" if project else "",
    )


def _tolerances(entry: object) -> Mapping[str, Tolerance]:
    try:
        return decode_tolerances(Fields({"": entry}, "a model's entry").mapping(""))
    except MalformedError as error:
        raise SettingsError(f"SHADOW_TOLERANCES: {error}") from error


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


def kms_endpoint(env: Mapping[str, str]) -> str:
    """Read where Cloud KMS answers, for keys whose URI begins with gcpkms:."""
    return url(env, "KMS_ENDPOINT", "https://cloudkms.googleapis.com")


def timestamp_key_uri(env: Mapping[str, str]) -> str:
    """Read the key that signs the repository's timestamp, as a URI."""
    return key_uri(text(env, "TIMESTAMP_KEY_URI"), "TIMESTAMP_KEY_URI")
