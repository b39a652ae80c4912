"""Take a gateway's signed report and pass it on.

No database here: a million gateways may report at once, and Pub/Sub waits for
`record_reports` to keep up.
"""

import flask
import functions_framework

from functions import replies, topics, wiring
from packhorse.errors import UntrustedError
from packhorse.report import REPORT_MAX_BYTES, decode_report, open_envelope


@functions_framework.http
@replies.as_json
def receive_report(request: flask.Request) -> replies.Reply:
    """Serve `POST /`: one report in its envelope."""
    body = replies.read_body(request, limit_bytes=REPORT_MAX_BYTES)
    envelope = open_envelope(body)
    replies.note(device=envelope.device)
    record = wiring.device_keys().check(envelope)
    report = decode_report(envelope.payload)
    if report.device != envelope.device:
        raise UntrustedError(f"{envelope.device} may not report for {report.device}")
    wiring.publisher().publish(topics.REPORTS, body)
    replies.note(sequence=report.sequence, state=report.state.value)
    return replies.Reply(202, {"is_rotation_wanted": record.is_rotation_wanted})
