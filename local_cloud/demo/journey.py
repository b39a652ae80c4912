"""Follow a release by what every process logs and by what the ledger says."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests

from local_cloud.demo.board import Board
from local_cloud.stack.stack import Stack

_POLL_S = 0.1
_TIMEOUT_S = 180.0
_ENDS = ("rollout finished", "rollout withdrawn")
_BESIDE = {"predict"}
"""Functions that stand beside the path."""
_MEASURES = ("length_bytes", "downloaded_bytes", "shadow_agreement", "agreement")
Line = dict[str, object]


class JourneyError(Exception):
    """A release did not get where it was expected."""


@dataclass
class LogTail:
    """The lines that processes wrote since the last look."""

    folder: Path
    _positions: dict[Path, int] = field(default_factory=dict)

    def lines(self) -> Iterator[tuple[str, Line]]:
        """Yield the process's name and each new JSON line of its log, by time."""
        found = list(self._new_lines())
        yield from sorted(found, key=lambda entry: _written_at(entry[1]))

    def _new_lines(self) -> Iterator[tuple[str, Line]]:
        for path in sorted(self.folder.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._positions.get(path, 0))
                body = log.read()
            end = body.rfind(b"\n") + 1
            self._positions[path] = self._positions.get(path, 0) + end
            for line in body[:end].splitlines():
                document = _decode(line)
                if document is not None:
                    yield path.stem, document


@dataclass
class Journey:
    """One release on its way, shown line by line."""

    stack: Stack
    board: Board
    release: str
    tail: LogTail
    _pushed_at: float = field(default_factory=time.monotonic)
    _seen: int = 0
    _shown: set[str] = field(default_factory=set)
    _asked_at: dict[str, float] = field(default_factory=dict)

    def follow(self) -> str:
        """Show every stage until the release has arrived, or never will.

        Returns:
            The last change.

        Raises:
            JourneyError: Nothing ended it in time.
        """
        give_up_at = time.monotonic() + _TIMEOUT_S
        with self.board.waiting(f"{self.release} is on its way"):
            while time.monotonic() < give_up_at:
                self._show_logs()
                for change in self._new_changes():
                    what = str(change["what"])
                    self._show_change(change)
                    if what == "refused" or what.startswith(_ENDS):
                        self._show_logs()
                        return what
                time.sleep(_POLL_S)
        raise JourneyError(f"{self.release} did not arrive within {_TIMEOUT_S:.0f} s")

    def reason(self) -> str:
        """Return why the release was refused or withdrawn."""
        document = self._document()
        rollouts = self.stack.operate("GET", "status")["rollouts"]
        reasons = [str(document.get("reason") or "")]
        if isinstance(rollouts, list):
            reasons += [str(record.get("reason") or "") for record in rollouts]
        return next((reason for reason in reasons if reason), "")

    def _show_logs(self) -> None:
        for process, line in self.tail.lines():
            traffic = line.get("traffic")
            if isinstance(traffic, dict) and self.release in traffic:
                shares = ", ".join(
                    f"{name} {share} %" for name, share in traffic.items()
                )
                self.board.line("cloud", "serving traffic", note=shares)
            if line.get("release") == self.release:
                self._show_line(process, line)

    def _show_line(self, process: str, line: Line) -> None:
        event = str(line.get("event", ""))
        if process.endswith("-agent"):
            stage, _, outcome = event.rpartition("_")
            place, took_s = process.removesuffix("-agent"), line.get("took_s")
        else:
            stage, _, outcome = event.rpartition(" ")
            took_ms = line.get("took_ms")
            place = "cloud"
            took_s = took_ms / 1000 if isinstance(took_ms, int | float) else None
        if outcome == "done" and stage not in _BESIDE:
            took = float(took_s) if isinstance(took_s, int | float) else None
            if place == "cloud":
                took = self._since_first_asked(stage, took)
                if line.get("is_done") is False or stage in self._shown:
                    return
                self._shown.add(stage)
            self.board.line(place, stage.replace("_", " "), took, _note(line))
        elif outcome == "refused":
            self.board.refusal(place, str(line.get("reason", "")))

    def _since_first_asked(self, stage: str, took_s: float | None) -> float | None:
        """Return how long a stage took that is asked again until it is done."""
        asked_at = self._asked_at.setdefault(stage, time.monotonic())
        waited_s = time.monotonic() - asked_at
        return took_s + waited_s if took_s is not None else None

    def _show_change(self, change: Line) -> None:
        what = str(change["what"])
        if what.startswith("rollout"):
            since_s = time.monotonic() - self._pushed_at
            note = f"{since_s:.1f} s after the push"
            self.board.line("rollout", what.removeprefix("rollout "), note=note)

    def _new_changes(self) -> list[Line]:
        history = self._document().get("history")
        changes = history if isinstance(history, list) else []
        new = changes[self._seen :]
        self._seen = len(changes)
        return new

    def _document(self) -> Line:
        try:
            return self.stack.operate("GET", f"releases/{self.release}")
        except requests.HTTPError:
            # The registry's notice has not come through yet.
            return {}


def _written_at(line: Line) -> str:
    """Return when a line was written; instants in ISO 8601, UTC, sort as text."""
    return str(line.get("time") or line.get("at") or "")


def _note(line: Line) -> str:
    shown = []
    for name in _MEASURES:
        value = line.get(name)
        if isinstance(value, int | float):
            word = name.replace("_", " ").removesuffix(" bytes")
            unit = " bytes" if name.endswith("_bytes") else ""
            shown.append(f"{word} {value:,.10g}{unit}")
    return ", ".join(shown)


def _decode(line: bytes) -> Line | None:
    if not line.startswith(b"{"):
        return None
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
