"""What time it is at least, on a machine whose clock may be wrong.

A gateway without a battery boots in 1970, and metadata that expired long ago would
look fresh again. So time has a floor, which survives reboots: the latest of

- when this software was built (`hatch_build.py` writes it into the wheel),
- when the last verified timestamp was signed (`trusted_repository.py` notes it),
- what the clock said while it was known to be synchronised.

    <state>/clock.json      {"floor": "2026-11-23T03:42:12+00:00"}

Nothing lowers it but `forget`, which follows a change of the repository's online
keys: who stole one, or lied to the gateway about the time, is then undone as well.

Source: docs/adr/0013-one-question-a-poll.md; The Update Framework, 1.0.34, 5.3.11
"""

import contextlib
import ctypes
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_runtime import durable
from packhorse.errors import PackhorseError
from packhorse.strict_json import Fields, decode_json, encode_json

OLDEST_BUILD = datetime(2026, 1, 1, tzinfo=UTC)
"""No build of this source is older; the floor where it runs from the source itself."""

NOTE_EVERY = timedelta(hours=1)
"""How often a running clock is written down: flash wears out."""

CLOCK_MAX_BYTES = 1_024
"""The file has about 50 bytes."""

_BUILT_AT_FILE = Path(__file__).parent.parent / "built_at.txt"
_SYNCHRONISED_FILE = Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES = 512
"""More than `struct timex` has on any architecture (208 on x86-64)."""
_TIME_ERROR = 5


def built_at() -> datetime:
    """Return when this software was built, as far as it is known."""
    try:
        seconds = int(_BUILT_AT_FILE.read_text(encoding="ascii")[:20])
        return max(OLDEST_BUILD, datetime.fromtimestamp(seconds, UTC))
    except (OSError, ValueError, OverflowError):
        return OLDEST_BUILD


def is_synchronised() -> bool:
    """Say whether something keeps this machine's clock right.

    The kernel knows it of ntpd and chronyd; systemd-timesyncd leaves a file, which
    also a process may look at that is kept from asking the kernel.

    Source: adjtimex(2); systemd-timesyncd.service(8)
    """
    # The first field, `modes`, is 0: it only asks.
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state < _TIME_ERROR or _SYNCHRONISED_FILE.exists()


def _wall_time() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The time of this machine, never before the floor."""

    def __init__(
        self,
        state_dir: Path,
        *,
        wall_time: Callable[[], datetime] = _wall_time,
        is_synchronised: Callable[[], bool] = is_synchronised,
        built_at: Callable[[], datetime] = built_at,
    ) -> None:
        """Begin with the floor that was noted last in `state_dir`."""
        self._path = state_dir / "clock.json"
        self._wall_time = wall_time
        self._is_synchronised = is_synchronised
        self._built_at = built_at()
        self._floor = self._load()

    @property
    def floor(self) -> datetime:
        """Return the instant that is past for certain."""
        return self._floor

    @property
    def is_wrong(self) -> bool:
        """Say whether the machine's own clock is known to be behind."""
        return self._wall_time() < self._floor

    @property
    def is_sure(self) -> bool:
        """Say whether the machine's own clock is known to be right."""
        return not self.is_wrong and self._is_synchronised()

    def shows(self, begins_at: datetime, ends_at: datetime) -> bool:
        """Say whether the machine's own clock stands between the two."""
        return begins_at <= self._wall_time() <= ends_at

    def allows(self, ends_at: datetime) -> bool:
        """Say whether what ends then may be good, though the clock does not show it.

        Never where that clock is sure: then it is right, and nothing is too early.
        """
        return not self.is_sure and max(self._wall_time(), self._floor) <= ends_at

    def now(self) -> datetime:
        """Return the time (UTC); as a side effect, remember a synchronised one."""
        wall_time = self._wall_time()
        if wall_time - self._floor >= NOTE_EVERY and self._is_synchronised():
            # Whoever asks for the time is not told that the disk is full.
            with contextlib.suppress(OSError):
                self.note(wall_time)
        return max(wall_time, self._floor)

    def note(self, instant: datetime) -> None:
        """Raise the floor to `instant` (UTC), durably; never lower it.

        Raises:
            OSError: It is raised for this process only: the disk refused.
        """
        known = self._load()
        self._floor = max(self._floor, known, instant)
        if self._floor > known:
            self._save()

    def forget(self) -> None:
        """Let the floor fall to the time of the build.

        Raises:
            OSError: It is so for this process only: the disk refused.
        """
        self._floor = self._built_at
        durable.unlink(self._path)

    def _save(self) -> None:
        durable.make_dir(self._path.parent)
        body = encode_json({"floor": self._floor.isoformat()})
        durable.write_file(self._path, body)

    def _load(self) -> datetime:
        """Return the floor on the disk; a file that cannot be read is none."""
        try:
            with self._path.open("rb") as file:
                body = file.read(CLOCK_MAX_BYTES + 1)
            value = decode_json(body, what="clock", limit_bytes=CLOCK_MAX_BYTES)
            noted = datetime.fromisoformat(Fields(value, "the clock").text("floor"))
            return max(self._built_at, noted.astimezone(UTC))
        except (OSError, PackhorseError, ValueError, OverflowError):
            return self._built_at
