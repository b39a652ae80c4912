"""Write what shadow runs found into the ledger, where the gate reads it.

What arrives here comes from `predict`: no other account may publish to the topic
`shadows`.
"""

from datetime import UTC, datetime

import functions_framework

from functions import replies, wiring
from functions.events import Message
from functions.release.shadows import dated, decode_shadow_report


@functions_framework.cloud_event
@replies.as_event
def record_shadows(message: Message) -> None:
    """Take one message of the topic `shadows`."""
    now = datetime.now(UTC)
    report = dated(
        decode_shadow_report(message.data), published_at=message.published_at, now=now
    )
    replies.note(
        live=str(report.live),
        candidate=str(report.candidate),
        compared=report.counts.compared,
        differed=report.counts.differed,
    )
    is_new = wiring.ledger().record_shadows(report, at=now)
    replies.note(is_new=is_new)
