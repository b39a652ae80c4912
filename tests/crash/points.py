"""Where faults are put: at every kind of step, in chapter after chapter."""

import os
from dataclasses import dataclass

from tests.crash.steps import fault_text

EVERY_STEP = os.environ.get("CRASH_EVERY_STEP") == "1"
"""Take every single step instead of one of each kind; that takes hours."""

FAULTS = ("EIO", "ENOSPC", "kill")


@dataclass(frozen=True)
class Point:
    """A fault at one step: that of the number, or the first of the kind."""

    chapter: object
    at: object
    do: str

    def __str__(self):
        return f"{self.do} at {self.at!r} of {self.chapter.name}"

    def fault(self, once=""):
        return fault_text(self.do, self.at, once=str(once))


def points(found, do):
    """Return where a fault comes.

    Args:
        found: Each chapter, and the kinds of the steps taken in it, in their order.
        do: The fault. The next one comes in another chapter, where a kind has some.
    """
    if EVERY_STEP:
        return [
            Point(chapter, number, do)
            for chapter, kinds in found
            for number in range(1, len(kinds) + 1)
        ]
    chapters = {}
    for chapter, kinds in found:
        for kind in dict.fromkeys(kinds):
            chapters.setdefault(kind, []).append(chapter)
    turn = FAULTS.index(do)
    return [
        Point(where[(turn + number) % len(where)], kind, do)
        for number, (kind, where) in enumerate(chapters.items())
    ]
