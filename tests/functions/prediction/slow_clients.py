"""A thousand clients that send or read a byte a second, from one thread."""

import socket
import threading

from tests.functions.prediction.whole_function import PREDICT

TICK_S = 1.0
LONG_BODY = 100_000
"""Announced by those who send: they never get there."""

HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n"


class SlowClients:
    """Sockets of three kinds: slow in their head, in their body, and in reading."""

    def __init__(self, port, count, kinds=("head", "body", "read")):
        self._port = port
        self._sockets = []
        self.ended = 0
        self._is_over = threading.Event()
        for number in range(count):
            self._open(kinds[number % len(kinds)])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _open(self, kind):
        made = socket.socket()
        if kind == "read":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        made.settimeout(10)
        made.connect(("127.0.0.1", self._port))
        begin = {
            "head": HEAD,
            "body": f"{HEAD}Content-Length: {LONG_BODY}\r\n\r\n{{",
            "read": f"{HEAD}Content-Length: 2\r\n\r\n{{}}",
        }[kind]
        made.sendall(begin.encode())
        self._sockets.append((kind, made))

    def _run(self):
        while not self._is_over.wait(TICK_S):
            for kind, one in self._sockets[:]:
                self._step(kind, one)

    def _step(self, kind, one):
        try:
            if kind == "read":
                one.settimeout(0)
                is_there = one.recv(1) != b""
            else:
                is_there = one.send(b"a") == 1
        except BlockingIOError:
            return
        except OSError:
            is_there = False
        if not is_there:
            self.ended += 1
            self._sockets.remove((kind, one))
            one.close()

    @property
    def left(self):
        return len(self._sockets)

    def close(self):
        self._is_over.set()
        self._thread.join()
        for _, one in self._sockets:
            one.close()


def latencies_s(function, count):
    """Ask one after another, over connections of their own; return sorted times."""
    answers = [function.predict(5) for _ in range(count)]
    assert {answer.status for answer in answers} == {200}
    return sorted(answer.took_s for answer in answers)


def p99(times):
    return times[int(len(times) * 0.99) - 1]
