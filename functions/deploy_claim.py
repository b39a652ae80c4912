"""Give a release to the first workflow execution that asks for it.

If that one fails, for example because a function was away for longer than it
retried, the next one that asks goes on in its place.
"""

import flask
import functions_framework

from functions import replies, wiring
from functions.deploy_steps import read_fields
from packhorse.names import Release


@functions_framework.http
@replies.as_guarded_json
def deploy_claim(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release", "execution"}`: claimed, or somebody else's."""
    release, fields = read_fields(request)
    execution = fields.text("execution", max_length=200)
    fields.done()
    is_claimed = wiring.ledger().claim(release, execution=execution)
    is_claimed = is_claimed or _takes_over(release, execution)
    replies.note(execution=execution, is_claimed=is_claimed)
    return replies.ok({"claimed": is_claimed})


def _takes_over(release: Release, execution: str) -> bool:
    """Give the release on if who claimed it has failed before its work was done."""
    record = wiring.ledger().release(release)
    if record is None or record.is_opened:
        return False
    if not wiring.release_workflow().has_failed(record.execution):
        return False
    replies.note(instead_of=record.execution)
    return wiring.ledger().claim(
        release, execution=execution, instead_of=record.execution
    )
