"""The service manager's end of sd_notify: a socket that keeps what it is told.

with NotifySocket(folder) as manager:
    environment |= manager.environment(watchdog_s=2)
    wait_until(lambda: manager.has("READY=1"), "it is ready")
"""

import contextlib
import socket
import threading


class NotifySocket:
    """Takes datagrams until the block ends."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.said = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(0.05)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def environment(self, *, watchdog_s):
        """Return what systemd would put into the service's environment."""
        return {
            "NOTIFY_SOCKET": self.path,
            "WATCHDOG_USEC": str(int(watchdog_s * 1_000_000)),
        }

    def has(self, assignment):
        return any(assignment in text.splitlines() for text in list(self.said))

    def count(self, assignment):
        return sum(text.splitlines().count(assignment) for text in list(self.said))

    def status(self):
        """Return the words that were said last."""
        lines = [line for text in list(self.said) for line in text.splitlines()]
        found = [line for line in lines if line.startswith("STATUS=")]
        return found[-1].removeprefix("STATUS=") if found else ""

    def _listen(self):
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError):
                self.said.append(self._socket.recv(65_536).decode())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self._socket.close()
