"""Bring a release's version into the Model Registry."""

import flask
import functions_framework

from functions import replies, wiring
from functions.deploy_steps import (
    read_release,
    refuse_if_it_failed,
    remember_operation,
    served_bundle,
    step_reply,
    unrefused,
)

STEP = "deploy_upload"


@functions_framework.http
@replies.as_guarded_json
def deploy_upload(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release"}`: done when the version is there."""
    release = read_release(request)
    bundle, name = served_bundle(unrefused(release))
    refuse_if_it_failed(release, STEP)
    # Vertex AI copies a folder; the container knows its bundle there by its hash.
    uri = f"gs://{wiring.bundle_bucket()}/{name.rpartition('/')[0]}/"
    version = wiring.vertex().ensure_uploaded(
        release, bundle, uri, on_begin=remember_operation(release, STEP)
    )
    if version is not None:
        wiring.ledger().record_model_version(release, version)
    return step_reply(is_done=version is not None)
