"""Vouch for a packaged release in the signed repository, and have it deployed.

The schedule comes to the same function, as an event that names no release: it holds
the keys of the release roles, so it renews those in which nothing happens.
"""

from datetime import UTC, datetime

import functions_framework

from functions import replies, wiring
from functions.errors import NotFoundError, ReleaseRefusedError
from functions.events import Message
from functions.release.records import ReleaseRecord, ReleaseState
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_json

MESSAGE_MAX_BYTES = 4096
"""A message names a release, and nothing else."""


@functions_framework.cloud_event
@replies.as_event
def publish_release(message: Message) -> None:
    """Take one message of the topic `packaged`."""
    release = _decode(message.data)
    if release is None:
        replies.note(renewed=list(wiring.release_repository().renew_roles()))
        return
    replies.note(release=str(release))
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    replies.note(state=record.state)
    if record.state in {ReleaseState.REFUSED, ReleaseState.DEPLOYED}:
        return
    _publish(record)
    # An earlier delivery may have died before this. A second execution of the
    # workflow finds the release claimed, and ends.
    replies.note(execution=wiring.release_workflow().start(release))


def _decode(data: bytes) -> Release | None:
    value = decode_json(data, what="packaged message", limit_bytes=MESSAGE_MAX_BYTES)
    fields = Fields(value, "the packaged message")
    release = fields.optional("release")
    fields.done()
    return None if release is None else parse_release(str(release))


def _publish(record: ReleaseRecord) -> None:
    ledger, release = wiring.ledger(), record.release
    bundles = record.offer().variants
    try:
        is_new = wiring.release_repository().publish_release(release, bundles)
    except ReleaseRefusedError as error:
        ledger.refuse_release(release, reason=str(error), at=datetime.now(UTC))
        raise
    ledger.published(release, at=datetime.now(UTC))
    replies.note(is_new=is_new)
