"""What a function's settings are, once `settings.py` has read them."""

from collections.abc import Mapping
from dataclasses import dataclass


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
