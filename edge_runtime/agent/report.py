"""Tell the cloud what became of a release: spooled on disk, sent in order.

    <state>/spool/next.json              the next sequence number, and what was dropped
    <state>/spool/00000000000000000007.step.json   a sealed report that waits

A number is taken durably before the report that bears it is written, so no crash
lets it be used twice. A report leaves the disk once the cloud has it, or has said
that it never wants it. When too many wait, the oldest that is no final word on a
release goes first, and the next report says how many went. One that cannot be read
any more goes too, and is counted with them. While the device's key cannot be used,
reports wait without a signature: each is signed when it is sent.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import KeyLostError, UnavailableError
from edge_runtime.agent.network.web import Web, refusal
from edge_runtime.log import log
from packhorse.errors import MalformedError
from packhorse.names import Release
from packhorse.report import (
    REASON_MAX,
    REPORT_MAX_BYTES,
    DeviceState,
    Report,
    encode_report,
    open_envelope,
    seal,
)
from packhorse.strict_json import Fields, decode_json, encode_json

SPOOLED_MAX = 1000
"""About one megabyte; a gateway makes some five reports a release."""

DROPPED_MEASURE = "dropped_reports"

WAITING_FILES = "[0-9]*.json"
"""Names of reports in the spool."""

_DIGITS = 20
_NUMBER_MAX = 2**53 - 1
"""The largest that a reader of JSON is sure to read as it was written."""
_NEXT_MAX_BYTES = 1024
_FINAL = frozenset(
    {
        DeviceState.SERVING,
        DeviceState.REFUSED,
        DeviceState.ROLLED_BACK,
        DeviceState.FAILED,
    }
)
_UNWANTED = frozenset({400, 409, 413, 422})
"""Answers that sending the same report again cannot change."""
_ACCEPTED = range(200, 300)
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class News:
    """What a report says, before it has a number and a time."""

    state: DeviceState
    release: Release | None = None
    rollout_id: str = ""
    reason: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)


class Spool:
    """The reports that the cloud does not have yet."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        sign: Callable[[bytes], bytes],
        spooled_max: int = SPOOLED_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the spool in `folder`; reports are signed as they are added."""
        self._clock = clock
        self._folder = folder
        self._device = device
        self._sign = sign
        self._max = spooled_max
        self._lock = threading.Lock()
        durable.make_dir(folder)

    def add(self, news: News) -> int:
        """Spool a report; return its sequence number."""
        with self._lock:
            sequence, dropped = self._read_next()
            dropped += self._make_room()
            self._write_next(sequence + 1, dropped)
            envelope = self._seal(news, sequence, dropped)
            # A complaint about the repository is no word on any release.
            is_final = news.state in _FINAL and news.release is not None
            durable.write_file(self._path(sequence, is_final=is_final), envelope)
            if dropped:
                self._write_next(sequence + 1, 0)
            return sequence

    def waiting(self) -> list[Path]:
        """Return the files that wait, the oldest first."""
        return sorted(self._folder.glob(WAITING_FILES))

    def send(
        self, web: Web, url: str, *, hear: Callable[[bytes], None] = lambda _: None
    ) -> int:
        """Send what waits, in order; return how many the cloud has now.

        Args:
            web: The way there.
            url: The function receive_report.
            hear: Called with the answer to each report that the cloud took.

        Raises:
            RefusedError: It takes none of this device; all are kept.
            KeyLostError: None can be signed; all are kept.
            UnavailableError: It did not take one; that one and the rest are kept.
        """
        sent = 0
        for path in self.waiting():
            body = self._read(path)
            if body is None:
                continue
            status, reply = web.post(url, body)
            if status == _FORBIDDEN:
                raise refusal(reply, "a report")
            if status in _ACCEPTED:
                hear(reply)
            if status not in _ACCEPTED and status not in _UNWANTED:
                raise UnavailableError(f"the cloud answered a report with {status}")
            durable.unlink(path)
            sent += status in _ACCEPTED
        return sent

    def _read(self, path: Path) -> bytes | None:
        """Return a report that waits, signed; None for one that is lost."""
        try:
            with path.open("rb") as file:
                body = file.read(REPORT_MAX_BYTES + 1)
        except FileNotFoundError:
            return None  # dropped to make room since it was listed
        except OSError as error:
            self._lose(path, error)
            return None
        return self._signed_anew(body)

    def _lose(self, path: Path, error: OSError) -> None:
        """Let go of a report that cannot be read: it must not hold up the rest."""
        log("report_lost", report=path.name, reason=error.strerror)
        with self._lock, contextlib.suppress(OSError):
            durable.unlink(path)
            sequence, dropped = self._read_next()
            self._write_next(sequence, dropped + 1)

    def _signed_anew(self, body: bytes) -> bytes:
        """Sign a report with the key of now, which may not be the one of then."""
        try:
            payload = open_envelope(body).payload
        except MalformedError:
            return body  # the cloud will not want it, and it goes
        return seal(payload, device=self._device, sign=self._sign)

    def _seal(self, news: News, sequence: int, dropped: int) -> bytes:
        measures = dict(news.measures)
        if dropped:
            measures[DROPPED_MEASURE] = float(dropped)
        report = Report(
            device=self._device,
            sequence=sequence,
            at=datetime.now(UTC),
            release=news.release,
            rollout_id=news.rollout_id,
            state=news.state,
            reason=news.reason[:REASON_MAX],
            measures=measures,
        )
        payload = encode_report(report)
        try:
            return seal(payload, device=self._device, sign=self._sign)
        except KeyLostError:
            return seal(payload, device=self._device, sign=lambda _: b"")

    def _make_room(self) -> int:
        """Drop what is too much for one report more; return how many went."""
        waiting = self.waiting()
        excess = len(waiting) + 1 - self._max
        if excess <= 0:
            return 0
        order = [path for path in waiting if not _is_final(path)]
        order += [path for path in waiting if _is_final(path)]
        for path in order[:excess]:
            durable.unlink(path)
        return excess

    def _path(self, sequence: int, *, is_final: bool) -> Path:
        kind = "final" if is_final else "step"
        return self._folder / f"{sequence:0{_DIGITS}d}.{kind}.json"

    def _read_next(self) -> tuple[int, int]:
        """Return the next number, and how many reports went unsaid.

        Where the file is lost, or the whole state with it, the seconds since 1970
        are above every number used: no device makes a report a second for long.
        The cloud would refuse a number that came before with other contents.
        """
        newest = max(map(_number, self.waiting()), default=0)
        try:
            with (self._folder / "next.json").open("rb") as file:
                body = file.read(_NEXT_MAX_BYTES + 1)
            document = decode_json(body, what="count", limit_bytes=_NEXT_MAX_BYTES)
            fields = Fields(document, "the spool's count")
            return max(fields.integer("next"), newest + 1), fields.integer("dropped")
        except (OSError, MalformedError):
            return max(newest + 1, int(self._clock())), 0

    def _write_next(self, sequence: int, dropped: int) -> None:
        body = encode_json({"next": sequence, "dropped": dropped})
        durable.write_file(self._folder / "next.json", body)


def _number(path: Path) -> int:
    """Return a report's number; 0 for a file that is none of ours."""
    text = path.name.partition(".")[0]
    number = int(text) if len(text) == _DIGITS and text.isdecimal() else 0
    return number if number <= _NUMBER_MAX else 0


def _is_final(path: Path) -> bool:
    return path.name.endswith(".final.json")
