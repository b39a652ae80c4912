"""The whole function in front of an upstream whose answers are odd, byte by byte."""

import contextlib
import socket
import threading

import pytest

from tests.functions.prediction.whole_function import (
    FOREIGN,
    running,
    upstream_and_settings,
)

GOOD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
DEADLINE_S = 1.0
_AS = b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\n{}"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b"

ANSWERS = {
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, {200}),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD, {200}),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", {502}),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", {204}),
    "302": (
        b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
        {302},
    ),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\nabc", {200}),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nabc", {200}),
    "HTTP/0.9": (b"hello\n", {502}),
    "nothing": (b"", {502}),
    "status 099": (b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\n{}", {502}),
    "status 600": (b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\n{}", {502}),
    "status 999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}", {502}),
    "two lengths": (_AS % b"Content-Length: 3", {502}),
    "length and chunks": (_AS % b"Transfer-Encoding: chunked", {502}),
    "length below nought": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", {502}),
    "length of 2 to the 64": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\n{}",
        {502},
    ),
    "chunk of 2 to the 60": (_CHUNKED % b"fffffffffffffff\r\nabc", {502}),
    "long chunk line": (
        # Longer than what comes in one read, in which it might be whole.
        _CHUNKED % (b"2;" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n"),
        {502},
    ),
    "trailers": (_CHUNKED % b"2\r\n{}\r\n0\r\nContent-Type: odd\r\n\r\n", {200}),
    "another coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}", {502}),
    "header of a megabyte": (_AS % (b"X: " + b"9" * 1_000_000), {502}),
    "many headers": (_AS % b"\r\n".join([b"A: b"] * 50_000), {502}),
    "bare CR": (_AS % b"Content-Type: a\rX-Odd: 1", {502}),
    "bare LF": (_AS % b"Content-Type: a\nX-Odd: 1", {200, 502}),
    "folded": (_AS % b"Content-Type: a\r\n X-Odd: 1", {200, 502}),
    "NUL": (_AS % b"Content-Type: a\x00b", {502}),
    "not ASCII": (_AS % b"Content-Type: a\xff\xfe", {200}),
    "long id": (_AS % (b"X-Vertex-AI-Deployed-Model-Id: " + b"9" * 50_000), {200}),
    "odd id": (_AS % b"X-Vertex-AI-Deployed-Model-Id: ../\xff%0d", {200}),
    "two answers": (GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nOTHER", {200}),
    "more than it took": (
        _AS % b"Content-Type: x;json-header-size=99999999999",
        {200},
    ),
}


class Bytes:
    """Answers every request with the bytes that are set, and hangs up if told so."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.answer, self.hangs_up = GOOD, False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, connection):
        lines = connection.makefile("rb")
        with connection, lines, contextlib.suppress(OSError):
            while self._read(lines):
                answer, hangs_up = self.answer, self.hangs_up
                connection.sendall(answer)
                if hangs_up:
                    return

    @staticmethod
    def _read(lines):
        length, is_there = 0, False
        while (line := lines.readline()).strip():
            is_there = True
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        lines.read(length)
        return is_there

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture(scope="module")
def upstream():
    found = Bytes()
    yield found
    found.close()


@pytest.fixture(scope="module")
def function(identity, upstream, tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    with upstream_and_settings(identity, folder) as (_, patch):
        patch.setenv("VERTEX_ENDPOINT", upstream.url)
        with running(folder) as found:
            yield found


def ask_well(function, upstream):
    """Ask what must be answered; a few of these keep the circuit closed too."""
    upstream.answer, upstream.hangs_up = GOOD, False
    answers = [function.predict(DEADLINE_S) for _ in range(3)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"{}")}


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "stays"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_passed_on_or_refused_and_soils_no_other(
    function, upstream, name, hangs_up
):
    ask_well(function, upstream)
    upstream.answer, statuses = ANSWERS[name]
    upstream.hangs_up = hangs_up

    answer = function.predict(DEADLINE_S)

    # Whoever stays may still have more to say.
    assert answer.status in (statuses if hangs_up else statuses | {504})
    assert answer.took_s < DEADLINE_S + 0.3
    assert "x-odd" not in answer.headers
    assert b"OTHER" not in answer.body
    assert not FOREIGN.search(answer.body)
    assert int(answer.headers.get("inference-header-content-length", "0")) <= 2
    ask_well(function, upstream)


def test_no_line_of_the_log_is_longer_than_a_log_takes(function, upstream):
    upstream.answer, _ = ANSWERS["long id"]
    function.predict(DEADLINE_S)

    _, others = function.lines()

    assert max(map(len, function.log.read_text().splitlines())) < 4096
    assert not [line for line in others if "Traceback" in line]
