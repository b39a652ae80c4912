"""Give a release to the first workflow execution that asks for it."""

import flask
import functions_framework

from functions import replies, wiring
from functions.deploy_steps import read_fields


@functions_framework.http
@replies.as_guarded_json
def deploy_claim(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release", "execution"}`: claimed, or somebody else's."""
    release, fields = read_fields(request)
    execution = fields.text("execution", max_length=200)
    fields.done()
    is_claimed = wiring.ledger().claim(release, execution=execution)
    replies.note(execution=execution, is_claimed=is_claimed)
    return replies.ok({"claimed": is_claimed})
