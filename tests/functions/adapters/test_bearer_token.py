"""The token of the function's account, from a metadata server that may be away."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from functions.adapters import bearer_token
from functions.adapters.bearer_token import BearerToken
from functions.errors import UpstreamUnavailableError
from tests.functions.adapters.raw_upstream import WAIT_S, until

_PATH = "/computeMetadata/v1/instance/service-accounts/default/"


class Metadata:
    """A metadata server whose tokens are numbered, and which a test can turn off."""

    def __init__(self):
        self.given = 0
        self.expires_in = 3600
        self.answer = None
        self.is_away = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Semaphore(0)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805 - the server's own `self` is outside
                self._answer(handler)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"

    def _answer(self, handler):
        if not handler.path.startswith(f"{_PATH}token"):
            self._send(handler, 200, {"email": "a@b.iam.localhost", "scopes": []})
            return
        self.asked.release()
        assert self.go_on.wait(WAIT_S)
        if self.is_away:
            self._send(handler, 404, {"error": "secret"})
            return
        self.given += 1
        token = {"access_token": f"t{self.given}", "expires_in": self.expires_in}
        self._send(handler, 200, token if self.answer is None else self.answer)

    def _send(self, handler, status, document):
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Metadata-Flavor", "Google")
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def stop(self):
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def metadata(google_account, monkeypatch):
    server = Metadata()
    # google-auth reads its host once, at its import: there, that of the session.
    module = "google.auth.compute_engine._metadata"
    monkeypatch.setattr(f"{module}._GCE_METADATA_HOST", server.host)
    monkeypatch.setenv("GCE_METADATA_HOST", server.host)
    monkeypatch.setenv("GCE_METADATA_IP", server.host)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
    yield server
    server.stop()


class Clock:
    """The wall clock, which a test moves on; google-auth's stays where it is."""

    def __init__(self):
        self.ahead_s = 0.0

    def time(self):
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bearer_token, "time", clock)
    return clock


def test_the_stand_in_for_google_gives_a_token(google_account):
    value = asyncio.run(BearerToken().value())

    assert value.startswith(b"Bearer local.default@")


def test_one_token_serves_many_requests(metadata):
    async def play():
        token = BearerToken()
        return [await token.value() for _ in range(3)]

    assert asyncio.run(play()) == [b"Bearer t1"] * 3
    assert metadata.given == 1


def test_whoever_waits_for_the_first_token_shares_it_and_may_give_up(metadata):
    metadata.go_on.clear()

    async def play():
        token = BearerToken()
        gives_up, *others = [asyncio.create_task(token.value()) for _ in range(9)]
        await asyncio.to_thread(metadata.asked.acquire, timeout=WAIT_S)
        gives_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gives_up
        metadata.go_on.set()
        return await asyncio.gather(*others)

    assert asyncio.run(play()) == [b"Bearer t1"] * 8
    assert metadata.given == 1


def test_a_token_that_grows_old_is_renewed_and_nobody_waits(metadata, clock):
    async def play():
        token = BearerToken()
        await token.value()
        metadata.go_on.clear()
        clock.ahead_s = 3600 - 200
        old = [await token.value() for _ in range(3)]
        # It is being fetched, and only once.
        assert metadata.asked.acquire(timeout=WAIT_S)
        await asyncio.to_thread(metadata.asked.acquire, timeout=WAIT_S)
        assert not metadata.asked.acquire(blocking=False)
        metadata.go_on.set()
        await until(lambda: metadata.given == 2)
        clock.ahead_s = 0.0
        new = b""
        while new != b"Bearer t2":
            new = await token.value()
            await asyncio.sleep(0.001)
        return old

    assert asyncio.run(play()) == [b"Bearer t1"] * 3


def test_an_expired_token_is_waited_for(metadata, clock):
    """A function may have been frozen for hours between two requests."""

    async def play():
        token = BearerToken()
        await token.value()
        clock.ahead_s = 3600 + 1
        metadata.expires_in = 2 * 3600
        return await token.value()

    assert asyncio.run(play()) == b"Bearer t2"


def test_nobody_notices_a_server_that_is_away_while_the_token_is_good(metadata, clock):
    async def play():
        token = BearerToken()
        await token.value()
        metadata.is_away = True
        clock.ahead_s = 3600 - 200
        metadata.asked = threading.Semaphore(0)
        values = set()
        for _ in range(200):
            values.add(await token.value())
            await asyncio.sleep(0.001)
        tries = 0
        while metadata.asked.acquire(blocking=False):
            tries += 1
        return values, tries

    # There is a pause between two tries, however many ask meanwhile.
    assert asyncio.run(play()) == ({b"Bearer t1"}, 1)


def test_it_is_tried_again_and_the_pauses_grow(metadata, clock):
    pauses = []

    async def play():
        token = BearerToken()
        await token.value()
        metadata.is_away = True
        clock.ahead_s = begin = 3600 - 200
        for _ in range(4):
            before = clock.ahead_s
            await token.value()
            while len(asyncio.all_tasks()) == 1:
                clock.ahead_s += 0.25
                await token.value()
            pauses.append(clock.ahead_s - before)
            # Time goes on when this try has failed.
            await until(lambda: len(asyncio.all_tasks()) == 1)
        assert clock.ahead_s < begin + 200

    asyncio.run(play())
    assert pauses == [
        0,
        pytest.approx(1, abs=0.3),
        pytest.approx(2, abs=0.3),
        pytest.approx(4, abs=0.3),
    ]


def test_without_any_token_everybody_is_told_so_and_not_why(metadata, caplog):
    metadata.is_away = True

    async def play():
        token = BearerToken()
        tasks = [asyncio.create_task(token.value()) for _ in range(3)]
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        metadata.is_away = False
        return errors

    errors = asyncio.run(play())

    assert {type(error) for error in errors} == {UpstreamUnavailableError}
    for error in errors:
        assert "secret" not in str(error)
        assert error.__cause__ is None
        assert error.__context__ is None
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"access_token": "t"},
        {"access_token": "t", "expires_in": "soon"},
        {"access_token": "t\r\nEvil: yes", "expires_in": 3600},
        {"access_token": None, "expires_in": 3600},
        {"access_token": ["t"], "expires_in": 3600},
        {"access_token": "t", "expires_in": 1e300},
    ],
)
def test_what_is_no_token_is_none(metadata, answer):
    metadata.answer = answer

    async def play():
        with pytest.raises(UpstreamUnavailableError):
            await BearerToken().value()

    asyncio.run(play())


def test_a_token_that_upstream_refuses_is_replaced(metadata):
    async def play():
        token = BearerToken()
        first = await token.value()
        token.forget(first)
        return first, await token.value()

    assert asyncio.run(play()) == (b"Bearer t1", b"Bearer t2")


def test_many_refusals_of_one_token_cost_one_new_one(metadata):
    async def play():
        token = BearerToken()
        first = await token.value()
        for _ in range(3):
            token.forget(first)
            assert await token.value() == b"Bearer t2"
        # Upstream that refuses every token gets no new one for each request.
        token.forget(b"Bearer t2")
        return await token.value()

    assert asyncio.run(play()) == b"Bearer t2"
    assert metadata.given == 2


def test_without_a_credential_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with pytest.raises(UpstreamUnavailableError, match="no credential"):
        BearerToken()
