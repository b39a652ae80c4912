"""Deploy a release alone on its model's candidate endpoint."""

import flask
import functions_framework

from functions import replies, wiring
from functions.adapters.vertex import EndpointView
from functions.deploy_steps import (
    endpoints_of,
    read_release,
    refuse_if_it_failed,
    remember_operation,
    step_reply,
    unrefused,
)
from functions.release.rollout import ALL_TRAFFIC
from packhorse.names import Release

STEP = "deploy_candidate"


@functions_framework.http
@replies.as_guarded_json
def deploy_candidate(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release"}`: done when nothing else is deployed there."""
    release = read_release(request)
    record = unrefused(release)
    endpoint = endpoints_of(release.model).candidate
    refuse_if_it_failed(release, STEP)
    is_deployed = wiring.vertex().ensure_deployed(
        endpoint,
        release,
        version=record.model_version,
        deployed_id=wiring.ledger().deployed_id(release, "candidate"),
        on_begin=remember_operation(release, STEP),
    )
    return step_reply(is_done=is_deployed and _is_alone(endpoint, release))


def _is_alone(endpoint: str, release: Release) -> bool:
    """Give the release all calls, and take one of the others off the endpoint."""
    view: EndpointView = wiring.vertex().read_endpoint(endpoint)
    wiring.vertex().move_traffic(view, {release: ALL_TRAFFIC})
    others = sorted(set(view.served) - {release})
    if others:
        wiring.vertex().undeploy(view, others[0])
    return not others
