"""Register what was pushed as a release, when the registry says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import functions_framework

from functions import outbox, replies, wiring
from functions.errors import ReleaseRefusedError, UpstreamUnavailableError
from functions.events import Message
from functions.release.notice import Announced, Ignored, Refused, judge_notice
from packhorse.errors import MalformedError, UntrustedError
from packhorse.pushed_model import PushedModel


@functions_framework.cloud_event
@replies.as_event
def register_release(message: Message) -> None:
    """Take one notice of the topic `gcr`."""
    now = datetime.now(UTC)
    settings = wiring.notices()
    notice = judge_notice(
        message.data,
        repository=settings.repository,
        age_s=(now - message.published_at).total_seconds(),
        max_age_s=settings.max_age_s,
    )
    replies.note(subject=notice.subject)
    if isinstance(notice, Ignored):
        replies.note(ignored=notice.reason)
    elif isinstance(notice, Refused):
        wiring.ledger().refuse_notice(
            subject=notice.subject, reason=notice.reason, at=now
        )
        raise ReleaseRefusedError(notice.reason)
    else:
        _register(notice, settings.variants, now)


def _register(notice: Announced, variants: tuple[str, ...], now: datetime) -> None:
    replies.note(release=str(notice.release))
    with _recorded(str(notice.release), now):
        pushed = wiring.registry().manifest(notice.image, notice.digest)
        _check_version(notice, pushed)
    is_new = wiring.ledger().register_release(
        notice.release,
        digest=notice.digest,
        card=pushed.card,
        variants=variants,
        at=now,
    )
    # Not only when new: an earlier delivery may have died before it published.
    sent = outbox.flush(wiring.ledger(), wiring.publisher())
    replies.note(digest=notice.digest, is_new=is_new, events=sent)


def _check_version(notice: Announced, pushed: PushedModel) -> None:
    if pushed.version != notice.release.version:
        raise ReleaseRefusedError(
            f"the tag says version {notice.release.version}, the pushed manifest "
            f"says {pushed.version}; push it again with `packhorse push`"
        )


@contextmanager
def _recorded(subject: str, now: datetime) -> Iterator[None]:
    """Record why a push is refused, for people, before it is acknowledged."""
    try:
        yield
    except UntrustedError as error:
        # Content that its digest does not name is the registry's fault, not the
        # pusher's: asked again, it may answer rightly.
        raise UpstreamUnavailableError("the registry sent other content") from error
    except (MalformedError, ReleaseRefusedError) as error:
        wiring.ledger().refuse_notice(subject=subject, reason=str(error), at=now)
        raise
