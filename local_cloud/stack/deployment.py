"""Do on loopback what Terraform does on Google Cloud, from the same list.

Topics, push subscriptions with dead letters, the trusted root and the first
metadata of the TUF repository. Doing it again changes nothing.
"""

from pathlib import Path

import grpc
from google.api_core.exceptions import AlreadyExists, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from local_cloud.stack.settings import BUNDLE_BUCKET, PROJECT, PUSH_ACCOUNT, Plan

DEAD_LETTERS = "dead-letters"
_ATTEMPTS_MAX = 100
"""Pub/Sub's most: a function may be away for minutes, and nothing is lost."""
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.2, 2.0
"""Google's own default is 10 to 600 s; nobody wants to watch that."""
_METADATA_CACHE = "public, max-age=31536000, immutable"


def create_topics(plan: Plan, functions: dict[str, dict[str, object]]) -> None:
    """Make every topic, and the push subscription of every event function."""
    channel = grpc.insecure_channel(f"127.0.0.1:{plan.port('pubsub')}")
    publisher = pubsub_v1.PublisherClient(
        transport=PublisherGrpcTransport(channel=channel)
    )
    subscriber = pubsub_v1.SubscriberClient(
        transport=SubscriberGrpcTransport(channel=channel)
    )
    topics = {_topic(function) for function in functions.values()} - {None}
    for topic in sorted({*topics, "rollouts", DEAD_LETTERS}, key=str):
        _create(publisher.create_topic, {"name": f"projects/{PROJECT}/topics/{topic}"})
    _create(
        subscriber.create_subscription,
        {
            "name": f"projects/{PROJECT}/subscriptions/{DEAD_LETTERS}",
            "topic": f"projects/{PROJECT}/topics/{DEAD_LETTERS}",
        },
    )
    for name, function in functions.items():
        topic = _topic(function)
        if topic is not None:
            request = _subscription(plan, name, topic, function)
            _create(subscriber.create_subscription, request)
    publisher.transport.close()
    channel.close()


def upload_repository(plan: Plan, folder: Path) -> None:
    """Put the first metadata into the bucket, the timestamp last."""
    client = storage.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": plan.url("storage")},
    )
    bucket = client.bucket(BUNDLE_BUCKET)
    files = sorted(folder.glob("*.json"), key=lambda f: (f.name == "timestamp.json", f))
    for file in files:
        blob = bucket.blob(f"metadata/{file.name}")
        is_last = file.name == "timestamp.json"
        blob.cache_control = "no-store" if is_last else _METADATA_CACHE
        try:
            blob.upload_from_filename(
                file, content_type="application/json", if_generation_match=0
            )
        except PreconditionFailed:
            continue


def _topic(function: dict[str, object]) -> str | None:
    trigger = function["trigger"]
    topic = trigger.get("topic") if isinstance(trigger, dict) else None
    return str(topic) if topic else None


def _subscription(
    plan: Plan, name: str, topic: str, function: dict[str, object]
) -> dict[str, object]:
    return {
        "name": f"projects/{PROJECT}/subscriptions/{name}",
        "topic": f"projects/{PROJECT}/topics/{topic}",
        "ack_deadline_seconds": min(600, max(10, int(str(function["timeout_s"])))),
        "push_config": {
            "push_endpoint": f"{plan.url(name)}/",
            "oidc_token": {
                "service_account_email": PUSH_ACCOUNT,
                "audience": plan.url(name),
            },
        },
        "retry_policy": {
            "minimum_backoff": _duration(_PAUSE_MIN_S),
            "maximum_backoff": _duration(_PAUSE_MAX_S),
        },
        "dead_letter_policy": {
            "dead_letter_topic": f"projects/{PROJECT}/topics/{DEAD_LETTERS}",
            "max_delivery_attempts": _ATTEMPTS_MAX,
        },
    }


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _create(call: object, request: dict[str, object]) -> None:
    try:
        call(request=request)  # type: ignore[operator]  # two clients, one shape
    except AlreadyExists:
        return
