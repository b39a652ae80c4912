"""Tell the rings that a rollout concerns that something waits for them."""

import functions_framework

from functions import replies, wiring
from functions.events import Message
from packhorse.errors import MalformedError
from packhorse.names import MODEL, RING_MAX, check_ring
from packhorse.strict_json import Fields, decode_json

ROLLOUTS_MAX_BYTES = 4096
"""A model, a sequence and at most a hundred rings."""


@functions_framework.cloud_event
@replies.as_event
def notify_devices(message: Message) -> None:
    """Leave a retained notice for each ring; without a broker, do nothing."""
    value = decode_json(
        message.data, what="rollouts event", limit_bytes=ROLLOUTS_MAX_BYTES
    )
    fields = Fields(value, "the rollouts event")
    model = fields.text("model", pattern=MODEL)
    sequence = fields.integer("sequence", low=1)
    rings = [_ring(each) for each in fields.sequence("rings", max_items=RING_MAX + 1)]
    fields.done()
    told = wiring.broker().notify(rings, model=model, sequence=sequence)
    replies.note(model=model, sequence=sequence, notices=told)


def _ring(value: object) -> int:
    if type(value) is not int:
        raise MalformedError(f"a ring is a number, not {str(value)[:40]!r}")
    return check_ring(value)
