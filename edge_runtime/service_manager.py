"""Tell systemd how this service fares: ready, alive, stopping, and in words.

One datagram for each word, to the socket that `NOTIFY_SOCKET` names; where none
is named nobody is told, and nothing else changes. `alive` is called where work was
done, never by a timer: a service that does nothing any more says nothing, and is
started again.

Source: sd_notify(3), "Well-known assignments"
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

STATUS_MAX = 300
"""Characters of the words that `systemctl status` shows."""

BEAT_S = 1.0
"""Least time between two signs of life; each is a system call."""

_SEND_S = 1.0


@dataclass(slots=True)
class ServiceManager:
    """The way to systemd.

    Attributes:
        address: Of its socket; empty where nobody listens.
        watchdog_s: Time without a sign of life after which we are ended; 0 for
            never.
    """

    address: str = ""
    watchdog_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _told: str = field(default="", init=False)
    _beaten_s: float = field(default=float("-inf"), init=False)

    def ready(self, status: str = "") -> None:
        """Say that the service does its work from now on."""
        self._send(f"READY=1\n{_status(status)}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """Say that work goes on; called as often as that is so."""
        now_s = self.clock()
        if self.watchdog_s and now_s - self._beaten_s >= BEAT_S:
            self._beaten_s = now_s
            self._send("WATCHDOG=1")

    def say(self, status: str) -> None:
        """Say in words how it goes, if that has changed."""
        if status != self._told:
            self._told = status
            self._send(_status(status))

    def _send(self, text: str) -> None:
        if not self.address:
            return
        # Whoever does not read must not hold us up; the next word comes soon.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.settimeout(_SEND_S)
            sender.sendto(text.encode(), self.address)


def service_manager(values: Mapping[str, str]) -> ServiceManager:
    """Find the service manager that started this process, if one did."""
    address = values.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return ServiceManager()
    pid, usec = values.get("WATCHDOG_PID", ""), values.get("WATCHDOG_USEC", "")
    is_ours = pid in {"", str(os.getpid())} and usec.isdecimal()
    # An abstract name begins with a zero byte, which an environment cannot hold.
    path = f"\0{address[1:]}" if address.startswith("@") else address
    return ServiceManager(path, int(usec) / 1e6 if is_ours else 0.0)


def _status(text: str) -> str:
    """Keep to one line, since each line is a word of its own."""
    words = "".join(c if c.isprintable() else " " for c in text)
    return f"STATUS={words[:STATUS_MAX]}"
