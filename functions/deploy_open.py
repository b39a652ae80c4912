"""Begin to roll a deployed release out."""

from datetime import UTC, datetime

import flask
import functions_framework

from functions import outbox, replies, wiring
from functions.deploy_steps import read_release, unrefused


@functions_framework.http
@replies.as_guarded_json
def deploy_open(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release"}`: open its rollout, once."""
    release = read_release(request)
    unrefused(release)
    is_new = wiring.ledger().open_rollout(release, at=datetime.now(UTC))
    outbox.flush(wiring.ledger(), wiring.publisher())
    return replies.ok({"done": True, "opened": is_new})
