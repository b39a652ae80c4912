"""What a function's settings are, once `settings.py` has read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packhorse.tolerance import Tolerance


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
    shadow_min_agreement: float
    shadow_min_count: int
    shadow_max_latency_ratio: float


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
class EndpointSettings:
    """One Vertex AI endpoint, as predictions reach it.

    Attributes:
        name: `projects/P/locations/L/endpoints/E`.
        url: Base URL of the host that serves it: the region's for a shared
            endpoint, its own for a dedicated one or one behind private service
            connect.
        kind: "shared", "dedicated" or "psc".
        request_max_bytes: What it takes as one body.
        timeout_s: What it may take for one answer.
    """

    name: str
    url: str
    kind: str
    request_max_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class PredictedModel:
    """What the prediction function does for one model.

    Attributes:
        serving: What callers' requests go to.
        candidate: What the shadow's share of them also goes to, if anything.
        pin: The only release that should answer, `magika@2`; empty for none.
        is_pin_enforced: Whether an answer of another release is refused.
        retries_timeouts: Whether an answer that is late is asked for again.
        shadow_share: Which share of the requests the candidate gets too, 0..1.
    """

    name: str
    serving: EndpointSettings
    candidate: EndpointSettings | None
    pin: str
    is_pin_enforced: bool
    retries_timeouts: bool
    shadow_share: float


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """How shadow runs compare, and whom they report to.

    Attributes:
        tolerances: By model and output; what is missing has the default.
        pubsub_url: Base URL of Pub/Sub.
        topic: `projects/P/topics/shadows`; empty where nobody said which project.
    """

    tolerances: Mapping[str, Mapping[str, Tolerance]]
    pubsub_url: str
    topic: str


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """What the prediction function answers for.

    Attributes:
        api_url: Base URL of the regional API, which names what is deployed.
        models: By name.
        project: Whose traces the log names; empty when nobody said.
        log_policy: What of a sampled request is logged: summary, full or off.
        log_ratio: Which share of the requests is sampled, 0..1.
        requests_max: How many requests may be under way at once.
        bytes_max: How long the bodies of all of them may be together.
    """

    api_url: str
    models: Mapping[str, PredictedModel]
    project: str
    log_policy: str
    log_ratio: float
    requests_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class RolloutSource:
    """Where the signed rollout documents are read.

    Attributes:
        url: Base URL of Cloud Storage.
        bucket: Of metadata and bundles.
        root_file: The root metadata that was shipped with the function.
        models: Whose documents are followed.
    """

    url: str
    bucket: str
    root_file: Path
    models: tuple[str, ...]
