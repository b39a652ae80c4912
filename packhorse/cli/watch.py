"""Show how a release travels, a line for everything that becomes of it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.operate import PATIENCE_S, Document, Operate, RefusedError
from packhorse.names import Release

POLL_S = 0.5
TIMEOUT_S = 3600.0
"""A rollout may take days; who watches longer asks again."""
_ARRIVED = "rollout finished"
_ENDS = (_ARRIVED, "rollout withdrawn", "rollout halted")
_REFUSED = "refused"
"""The release itself; a gateway's own word is `refused on gateway-1`."""
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a release's journey ended.

    Attributes:
        last: The last thing that became of it.
        took_s: From the start of the watch.
    """

    release: Release
    last: str
    reason: str
    took_s: float

    @property
    def has_arrived(self) -> bool:
        """Say whether it ended well."""
        return self.last.startswith(_ARRIVED)

    def document(self) -> dict[str, object]:
        """Say it to a program."""
        return {
            "arrived": self.has_arrived,
            "last": self.last,
            "reason": self.reason,
            "took_s": round(self.took_s, 1),
        }

    def check(self) -> None:
        """Raise a `CommandError` unless it ended well."""
        if not self.has_arrived:
            reason = f": {self.reason}" if self.reason else ""
            raise CommandError(f"{self.release} did not arrive, {self.last}{reason}")


def watch_release(operate: Operate, release: Release, *, is_quiet: bool) -> Arrival:
    """Print each change of the release until it has arrived, or never will.

    Raises:
        CommandError: It has not ended within an hour.
    """
    begun = time.monotonic()
    seen: Counter[str] = Counter()
    with output.working(f"{release} is on its way") as working:
        while time.monotonic() < begun + TIMEOUT_S:
            history = _history(operate, release)
            new = list(_unseen(history, seen))
            for change in new if not is_quiet else []:
                working.say(_line(change, history[0]))
            if new:
                working.tell(f"{release}: {_word(new[-1], 'what')}")
            if end := _end(history):
                took_s = time.monotonic() - begun
                return Arrival(
                    release, _word(end, "what"), _word(end, "reason"), took_s
                )
            time.sleep(POLL_S)
    raise CommandError(f"{release} is still on its way; `packhorse status` shows it")


def _unseen(history: Sequence[Document], seen: Counter[str]) -> Iterator[Document]:
    """Yield what is new, and count it as seen.

    The oldest changes fall out of a long history, so nothing is told by its place.
    """
    here: Counter[str] = Counter()
    for change in history:
        key = repr(change)
        here[key] += 1
        if here[key] > seen[key]:
            seen[key] += 1
            yield change


def _end(history: Sequence[Document]) -> Document | None:
    """Return what ended the journey; what a gateway says later changes nothing."""
    verdicts = [c for c in history if _is_verdict(_word(c, "what"))]
    is_over = verdicts and _is_end(_word(verdicts[-1], "what"))
    return verdicts[-1] if is_over else None


def _is_verdict(what: str) -> bool:
    return what.startswith("rollout ") or what == _REFUSED


def _is_end(what: str) -> bool:
    return what.startswith(_ENDS) or what == _REFUSED


def _history(operate: Operate, release: Release) -> list[Document]:
    try:
        document = operate.get(f"releases/{release}", patience_s=PATIENCE_S)
    except RefusedError as error:
        if error.status == _NOT_FOUND and error.is_own:
            # The registry's notice has not come through yet.
            return []
        raise
    history = document.get("history")
    rows = history if isinstance(history, list) else []
    return [row for row in rows if isinstance(row, dict)]


def _line(change: Document, first: Document) -> str:
    what, reason = _word(change, "what"), _word(change, "reason")
    return f"{_elapsed(change, first):>9}  {what}" + (f": {reason}" if reason else "")


def _elapsed(change: Document, first: Document) -> str:
    """Say how long after the first change it came, by the cloud's clock."""
    try:
        begun, at = (datetime.fromisoformat(_word(c, "at")) for c in (first, change))
        return f"{(at - begun).total_seconds():.1f} s"
    except (ValueError, TypeError):
        return ""


def _word(row: Document, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
