"""Send what a crash left in the outbox, and name what is stuck."""

from datetime import UTC, datetime, timedelta

import functions_framework

from functions import outbox, replies, wiring
from functions.events import Message


@functions_framework.cloud_event
@replies.as_event
def sweep_ledger(message: Message) -> None:
    """Take the scheduler's word; what it says does not matter."""
    del message
    ledger = wiring.ledger()
    now = datetime.now(UTC)
    before = now - timedelta(seconds=wiring.stuck_after_s())
    asked_again = ledger.ask_again(before=before, at=now)
    stuck = ledger.stuck(before=before)
    sent = outbox.flush(ledger, wiring.publisher())
    replies.note(
        events=sent,
        asked_again=[str(release) for release in asked_again],
        stuck=[f"{release} is {state}" for release, state in stuck],
    )
