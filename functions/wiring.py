"""Build each adapter once, at the first call, from the environment.

The only reader of `os.environ` on the cloud side. Heavy libraries are imported
inside the builder that needs them, so that a function pays for what it uses.
"""

import functools
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from functions import settings
from functions.setting_values import (
    ModelEndpoints,
    NoticeSettings,
    PredictSettings,
    ShadowSettings,
)

if TYPE_CHECKING:
    from functions.adapters.bearer_token import BearerToken
    from functions.adapters.deployed_releases import DeployedReleases
    from functions.adapters.device_keys import DeviceKeys
    from functions.adapters.device_register import DeviceRegister
    from functions.adapters.identity import CallerCheck
    from functions.adapters.ledger import Ledger
    from functions.adapters.mqtt import Broker
    from functions.adapters.pubsub import Publisher
    from functions.adapters.raw_predict import RawPredict
    from functions.adapters.read_tokens import ReadTokens
    from functions.adapters.registry import ModelRegistry
    from functions.adapters.rollout_reader import Note, RolloutReader
    from functions.adapters.storage import ObjectStore
    from functions.adapters.topic import Topic
    from functions.adapters.tuf_repository import TufRepository
    from functions.adapters.upstream.client import Upstream
    from functions.adapters.vertex import Vertex
    from functions.adapters.workflows import ReleaseWorkflow
    from functions.release.gate import Gate
    from packhorse.signers import Signers


@functools.cache
def callers() -> "CallerCheck":
    """Return the check of who calls this function."""
    from functions.adapters.identity import CallerCheck  # noqa: PLC0415 - lazy

    return CallerCheck(settings.caller_settings(os.environ))


@functools.cache
def ledger() -> "Ledger":
    """Return the database of releases, rollouts, devices and reports."""
    from functions.adapters.ledger import Ledger  # noqa: PLC0415 - lazy

    return Ledger(settings.ledger_url(os.environ))


@functools.cache
def publisher() -> "Publisher":
    """Return the publisher to this project's topics."""
    from functions.adapters.pubsub import Publisher  # noqa: PLC0415 - lazy

    return Publisher(settings.project(os.environ))


@functools.cache
def notices() -> NoticeSettings:
    """Return which of the registry's notices concern us."""
    return settings.notice_settings(os.environ)


@functools.cache
def stuck_after_s() -> int:
    """Return how long a release may stand still before it is named."""
    return settings.stuck_after_s(os.environ)


@functools.cache
def device_store() -> "ObjectStore":
    """Return the bucket of invitations and devices' keys."""
    from functions.adapters.storage import open_store  # noqa: PLC0415 - lazy

    return open_store(settings.device_bucket(os.environ))


@functools.cache
def bundle_bucket() -> str:
    """Return the name of the bucket of metadata and bundles."""
    return settings.bundle_bucket(os.environ)


@functools.cache
def bundle_store() -> "ObjectStore":
    """Return the bucket of metadata and bundles, which gateways read."""
    from functions.adapters.storage import open_store  # noqa: PLC0415 - lazy

    return open_store(bundle_bucket())


@functools.cache
def device_keys() -> "DeviceKeys":
    """Return the registered keys of devices."""
    from functions.adapters.device_keys import DeviceKeys  # noqa: PLC0415 - lazy

    return DeviceKeys(device_store())


@functools.cache
def device_register() -> "DeviceRegister":
    """Return the devices' records, read anew each time."""
    from functions.adapters.device_register import DeviceRegister  # noqa: PLC0415 - lazy

    return DeviceRegister(device_store())


@functools.cache
def read_tokens() -> "ReadTokens":
    """Return the maker of tokens that read a model's part of the bucket."""
    from functions.adapters.read_tokens import ReadTokens  # noqa: PLC0415 - lazy

    return ReadTokens(bundle_bucket(), sts_url=settings.sts_url(os.environ))


@functools.cache
def vertex() -> "Vertex":
    """Return the Model Registry and the endpoints."""
    from functions.adapters.vertex import Vertex  # noqa: PLC0415 - lazy

    return Vertex(settings.serving_settings(os.environ))


@functools.cache
def upstream() -> "Upstream":
    """Return the connections to whatever answers predictions, of one event loop."""
    from functions.adapters.upstream.client import Upstream  # noqa: PLC0415 - lazy

    return Upstream()


@functools.cache
def bearer_token() -> "BearerToken":
    """Return the token that Vertex AI knows this function by."""
    from functions.adapters.bearer_token import BearerToken  # noqa: PLC0415 - lazy

    return BearerToken()


@functools.cache
def deployed_releases() -> "DeployedReleases":
    """Return which release stands behind a deployed model's id."""
    from functions.adapters.deployed_releases import (  # noqa: PLC0415 - lazy
        DeployedReleases,
    )
    from functions.adapters.upstream.origin import parse_origin  # noqa: PLC0415 - lazy

    api = parse_origin(predictions().api_url)
    return DeployedReleases(upstream(), bearer_token(), api)


@functools.cache
def candidate_upstream() -> "Upstream":
    """Return the connections to candidates: they keep none from the live traffic."""
    from functions.adapters.upstream.client import Upstream  # noqa: PLC0415 - lazy

    return Upstream(connections_max=32, answer_max_bytes=1024**2)


@functools.cache
def shadow_settings() -> ShadowSettings:
    """Return how shadow runs compare, and whom they report to."""
    return settings.shadow_settings(os.environ)


@functools.cache
def shadow_topic() -> "Topic | None":
    """Return the topic of shadow runs' sums; None where nobody said which project."""
    from functions.adapters.topic import Topic  # noqa: PLC0415 - lazy
    from functions.adapters.upstream.origin import parse_origin  # noqa: PLC0415 - lazy

    read = shadow_settings()
    if not read.topic:
        return None
    origin = parse_origin(read.pubsub_url)
    return Topic(upstream(), bearer_token(), origin, read.topic)


@functools.cache
def rollout_reader(note: "Note") -> "RolloutReader | None":
    """Return what follows the signed rollouts; None where this function does not."""
    source = settings.rollout_source(os.environ, predictions().models)
    if source is None:
        return None
    from functions.adapters.rollout_reader import (  # noqa: PLC0415 - lazy
        ANSWER_MAX_BYTES,
        RolloutReader,
    )
    from functions.adapters.upstream.client import Upstream  # noqa: PLC0415 - lazy

    bucket = Upstream(connections_max=2, answer_max_bytes=ANSWER_MAX_BYTES)
    # A token is a secret: it goes over TLS, or not at all.
    token = bearer_token() if source.url.startswith("https://") else None
    return RolloutReader(bucket, token, source, note)


@functools.cache
def raw_predict() -> "RawPredict":
    """Return the prediction service."""
    from functions.adapters.raw_predict import RawPredict  # noqa: PLC0415 - lazy

    return RawPredict(settings.vertex_url(os.environ))


@functools.cache
def model_endpoints() -> Mapping[str, ModelEndpoints]:
    """Return where each model is deployed."""
    return settings.model_endpoints(os.environ)


@functools.cache
def predictions() -> PredictSettings:
    """Return what the prediction function answers for."""
    return settings.predict_settings(os.environ)


@functools.cache
def gate() -> "Gate":
    """Return what a ring must show before the next one opens."""
    from functions.release.gate import Gate  # noqa: PLC0415 - lazy
    from functions.release.shadows import ShadowGate  # noqa: PLC0415 - lazy

    read = settings.gate_settings(os.environ)
    return Gate(
        min_success_ratio=read.min_success_ratio,
        soak_s=read.soak_s,
        patience_s=read.patience_s,
        fleet_share=read.fleet_share,
        shadow=ShadowGate(
            min_agreement=read.shadow_min_agreement,
            min_count=read.shadow_min_count,
            max_latency_ratio=read.shadow_max_latency_ratio,
        ),
    )


@functools.cache
def broker() -> "Broker":
    """Return the MQTT broker that wakes gateways up, or none."""
    from functions.adapters.mqtt import Broker  # noqa: PLC0415 - lazy

    return Broker(settings.broker_settings(os.environ))


@functools.cache
def release_workflow() -> "ReleaseWorkflow":
    """Return the workflow that deploys a release."""
    from functions.adapters.workflows import ReleaseWorkflow  # noqa: PLC0415 - lazy

    return ReleaseWorkflow(settings.workflow_settings(os.environ))


@functools.cache
def model_repository() -> str:
    """Return `HOST/PROJECT/REPOSITORY`, where models are pushed to."""
    return settings.model_repository(os.environ)


@functools.cache
def release_max_bytes() -> int:
    """Return how long the files of one push may be together, in bytes."""
    return settings.release_max_bytes(os.environ)


@functools.cache
def registry() -> "ModelRegistry":
    """Return the registry that models are pushed to."""
    from functions.adapters.access_token import AccessToken  # noqa: PLC0415 - lazy
    from functions.adapters.registry import ModelRegistry  # noqa: PLC0415 - lazy

    endpoint = settings.registry_url(os.environ)
    # A token is a secret: it goes over TLS, or not at all.
    token = AccessToken() if endpoint.startswith("https://") else None
    return ModelRegistry(model_repository(), endpoint=endpoint, access_token=token)


@functools.cache
def release_repository() -> "TufRepository":
    """Return the signed repository, with the keys that vouch for bundles."""
    from packhorse.trust_root import release_role  # noqa: PLC0415 - lazy

    uris = settings.release_key_uris(os.environ)
    return _repository({release_role(model): uri for model, uri in uris.items()})


@functools.cache
def rollout_repository() -> "TufRepository":
    """Return the signed repository, with the key that vouches for rollouts."""
    from packhorse.trust_root import ROLLOUTS  # noqa: PLC0415 - lazy

    return _repository({ROLLOUTS: settings.rollouts_key_uri(os.environ)})


@functools.cache
def timestamp_repository() -> "TufRepository":
    """Return the signed repository, with no key that vouches for anything."""
    return _repository({})


def _repository(key_uris: Mapping[str, str]) -> "TufRepository":
    from functions.adapters.tuf_repository import TufRepository  # noqa: PLC0415 - lazy
    from packhorse.trust_root import SNAPSHOT, TIMESTAMP  # noqa: PLC0415 - lazy

    uris = {
        **key_uris,
        SNAPSHOT: settings.snapshot_key_uri(os.environ),
        TIMESTAMP: settings.timestamp_key_uri(os.environ),
    }
    return TufRepository(
        bundle_store(), uris, now=lambda: datetime.now(UTC), signers=signers()
    )


@functools.cache
def signers() -> "Signers":
    """Return what opens private keys by URI."""
    from packhorse.signers import Signers  # noqa: PLC0415 - lazy

    return Signers(settings.kms_endpoint(os.environ))
