"""Read what the workflow sends to the functions that deploy a release.

Each of them is one short step, safe to repeat: `workflows/release.yaml` puts
them in order, waits between them and calls again what is not done.
"""

import flask

from functions import replies, wiring
from functions.errors import NotFoundError, ReleaseRefusedError, SettingsError
from functions.release.metadata import target_object
from functions.release.records import ReleaseRecord, ReleaseState
from functions.settings import ModelEndpoints
from packhorse.assignment import BundleRef
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_json

SERVED_VARIANT = "fp32"
"""What Vertex AI serves: the reference that parity is measured against."""

STEP_MAX_BYTES = 4096
"""A step names a release and an execution, and nothing else."""


def read_fields(request: flask.Request) -> tuple[Release, Fields]:
    """Return the release that the request names, and what else it holds."""
    body = replies.read_body(request, limit_bytes=STEP_MAX_BYTES)
    value = decode_json(body, what="deploy step", limit_bytes=STEP_MAX_BYTES)
    fields = Fields(value, "the deploy step")
    release = parse_release(fields.text("release", max_length=80))
    replies.note(release=str(release))
    return release, fields


def read_release(request: flask.Request) -> Release:
    """Return the release that the request names, and nothing else."""
    release, fields = read_fields(request)
    fields.done()
    return release


def step_reply(*, is_done: bool) -> replies.Reply:
    """Tell the workflow whether to go on, or to ask again."""
    replies.note(is_done=is_done)
    return replies.ok({"done": is_done})


def unrefused(release: Release) -> ReleaseRecord:
    """Return what the ledger knows of a release that may go on.

    Raises:
        NotFoundError: It was never registered.
        ReleaseRefusedError: It was refused.
    """
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    if record.state is ReleaseState.REFUSED:
        raise ReleaseRefusedError(f"{release} was refused: {record.reason}")
    return record


def served_bundle(record: ReleaseRecord) -> tuple[BundleRef, str]:
    """Return the bundle that Vertex AI serves, and the object that holds it."""
    bundle = record.offer().variants.get(SERVED_VARIANT)
    if bundle is None:
        raise ReleaseRefusedError(
            f"{record.release} has no variant {SERVED_VARIANT}, which Vertex AI serves"
        )
    return bundle, target_object(bundle.target, bundle.sha256)


def endpoints_of(model: str) -> ModelEndpoints:
    """Return where a model is deployed.

    Raises:
        SettingsError: `MODEL_ENDPOINTS` does not name it.
    """
    found = wiring.model_endpoints().get(model)
    if found is None:
        raise SettingsError(f"MODEL_ENDPOINTS names no endpoints for {model}")
    return found
