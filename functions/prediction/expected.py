"""Decide which releases may answer for a model: its pin, or the signed rollout.

The pin is a setting, and unset, the rollout document says it. What is withdrawn is
never expected, a pin on it is void. A model with neither expects nothing, and
nothing that answers for it is unexpected.

An answer that is counted can be looked into later; one that is refused is an
outage. So nothing is refused on old knowledge: not while the documents cannot be
read or have expired, unless what answered is known to be withdrawn, which is for
ever.

Source: docs/protocol.md, 4 "The rollout document"
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.adapters.rollout_reader import RolloutReader, SeenRollout

if TYPE_CHECKING:
    from packhorse.assignment import RolloutDocument

WAIT_S = 1.0
"""How long a request waits for the document: the first one, and one that was
answered by a release that no document known here names."""
SURPRISES_MAX = 64
"""Releases that are remembered as looked for; more are looked for again."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Which releases may answer for a model.

    Attributes:
        releases: As `magika@2`; the rollout's own, and shortly those before.
        source: "pin", "rollout", or "nothing".
        rollout_id: Of the rollout that is under way; empty without one.
        stable: What everyone gets who is not admitted to the candidate.
        candidate: What is rolled out; empty without one.
        withdrawn: What nobody may run.
        is_stale: Whether the rollout could not be read anew, or has expired.
    """

    releases: frozenset[str] = frozenset()
    source: str = "nothing"
    rollout_id: str = ""
    stable: str = ""
    candidate: str = ""
    withdrawn: frozenset[str] = frozenset()
    is_stale: bool = False

    def is_unexpected(self, release: str) -> bool:
        """Say whether an answer of this release is to be counted.

        Args:
            release: What answered; empty where nobody knows.
        """
        if self.source == "nothing":
            return release in self.withdrawn
        return release not in self.releases

    def is_to_refuse(self, release: str) -> bool:
        """Say whether it is to be refused, where the setting says so."""
        if release in self.withdrawn:
            return True
        return not self.is_stale and self.is_unexpected(release)


def expect(pin: str, seen: SeenRollout | None) -> Expected:
    """Decide which releases may answer.

    Args:
        pin: What the setting names, `magika@2`; empty for none.
        seen: What is known of the model's rollout.
    """
    document = seen.document if seen else None
    withdrawn = frozenset(map(str, document.withdrawn)) if document else frozenset()
    if pin and pin not in withdrawn:
        return Expected(frozenset({pin}), "pin", withdrawn=withdrawn)
    if seen is None or document is None:
        return Expected()
    releases = _offered(document)
    if releases and seen.former is not None:
        releases |= _offered(seen.former) - withdrawn
    return Expected(
        releases=releases,
        source="rollout" if releases else "nothing",
        rollout_id=document.rollout_id,
        stable=str(document.stable.release) if document.stable else "",
        candidate=str(document.candidate.release) if document.candidate else "",
        withdrawn=withdrawn,
        is_stale=seen.is_stale,
    )


class Expectations:
    """Which releases may answer, as far as this process knows now."""

    def __init__(self, pins: Mapping[str, str], reader: RolloutReader | None) -> None:
        """Follow the rollouts that `reader` reads, where no pin stands.

        Args:
            pins: The only release that may answer, by model.
            reader: None where this function follows no rollout.
        """
        self._pins = pins
        self._reader = reader
        self._known: dict[str, tuple[SeenRollout | None, Expected]] = {}
        self._looked_for: dict[tuple[str, str], int] = {}

    def begin(self) -> None:
        """Look at the bucket if that is due: call it as a request comes.

        So the look runs beside the prediction, while the instance has a processor.
        """
        if self._reader is not None:
            self._reader.poll()

    async def of(self, model: str, *, deadline: float, answered: str = "") -> Expected:
        """Return which releases may answer for a model.

        The first look at the bucket is waited for, `WAIT_S` at most.

        Args:
            model: Whose endpoint is asked.
            deadline: Of the request, by the loop's clock; no wait goes beyond.
            answered: A release that nothing known here names is looked for once
                before it is called unexpected.
        """
        reader = self._reader
        if reader is None:
            return self._now(model)
        reader.poll()
        if not reader.has_looked and not self._pins.get(model):
            await self._wait(reader, deadline)
        expected = self._now(model)
        if not self._is_news(reader, model, expected, answered):
            return expected
        reader.look()
        await self._wait(reader, deadline)
        return self._now(model)

    async def close(self) -> None:
        """End what runs in the background."""
        if self._reader is not None:
            await self._reader.close()

    def _now(self, model: str) -> Expected:
        seen = self._reader.seen(model) if self._reader is not None else None
        known = self._known.get(model)
        if known is None or known[0] != seen:
            known = seen, expect(self._pins.get(model, ""), seen)
            self._known[model] = known
        return known[1]

    def _is_news(
        self, reader: RolloutReader, model: str, expected: Expected, answered: str
    ) -> bool:
        """Say whether a newer document might name the release that answered."""
        if not answered or expected.source == "pin" or answered in expected.withdrawn:
            return False
        if not expected.is_unexpected(answered):
            return False
        key = model, answered
        if self._looked_for.get(key) == reader.revision:
            return False
        if len(self._looked_for) >= SURPRISES_MAX:
            self._looked_for.clear()
        self._looked_for[key] = reader.revision
        return True

    async def _wait(self, reader: RolloutReader, deadline: float) -> None:
        left_s = deadline - asyncio.get_running_loop().time()
        await reader.wait(min(WAIT_S, left_s))


def _offered(document: "RolloutDocument") -> frozenset[str]:
    offers = (document.stable, document.candidate)
    return frozenset(str(offer.release) for offer in offers if offer is not None)
