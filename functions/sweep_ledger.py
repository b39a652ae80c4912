"""Send what a crash left in the outbox, and start again what stands still."""

from datetime import UTC, datetime, timedelta

import functions_framework

from functions import outbox, replies, wiring
from functions.events import Message
from functions.release.records import ReleaseRecord


@functions_framework.cloud_event
@replies.as_event
def sweep_ledger(message: Message) -> None:
    """Take the scheduler's word; what it says does not matter."""
    del message
    ledger = wiring.ledger()
    now = datetime.now(UTC)
    before = now - timedelta(seconds=wiring.stuck_after_s())
    asked_again = ledger.ask_again(before=before, at=now)
    sent = outbox.flush(ledger, wiring.publisher())
    replies.note(events=sent, asked_again=[str(release) for release in asked_again])
    stuck = ledger.stuck(before=before)
    replies.note(stuck=[f"{each.release} is {each.state}" for each in stuck])
    started = [str(each.release) for each in stuck if _is_started_again(each, now)]
    replies.note(started_again=started)


def _is_started_again(record: ReleaseRecord, now: datetime) -> bool:
    """Start a release's workflow unless its execution still runs.

    Starting once too often does no harm: who cannot claim the release ends.
    """
    workflow = wiring.release_workflow()
    if record.execution and not workflow.has_failed(record.execution):
        return False
    workflow.start(record.release)
    wiring.ledger().workflow_restarted(record.release, at=now)
    return True
