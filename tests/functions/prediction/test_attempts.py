"""One call becomes as many requests as may help, and as few as the upstream bears."""

import asyncio
import contextlib
import gc
import json
import socket
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.client import Upstream
from functions.errors import (
    BrokenAnswerError,
    CircuitOpenError,
    LateAnswerError,
    NotSentError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from functions.prediction.attempts import Attempts, Spent
from functions.prediction.circuit import Circuits
from functions.prediction.circuit_state import OPENS_AT, PROBE_MAX_S, PROBES_MAX
from functions.prediction.retries import BUDGET_LEAST, RETRY_AFTER_MAX_S, Budget
from functions.setting_values import EndpointSettings
from packhorse.errors import MalformedError
from tests.functions.prediction.scripted_upstream import (
    BREAK,
    STALL,
    WAIT_S,
    ScriptedUpstream,
    answer,
)

NAME = "projects/p/locations/europe-west4/endpoints/1234"
GOOD = answer(200, b"good", x_vertex_ai_deployed_model_id="77")
BUSY = answer(503, b"theirs, word for word", x_any="thing")
SLACK_S = 0.25
"""What the machine may add to a deadline."""

pytestmark = pytest.mark.usefixtures("google_account")


class Caller:
    """Somebody who asks an upstream through `Attempts`."""

    def __init__(self, upstream, url, timeout_s=WAIT_S, clock=time.monotonic):
        self.token = BearerToken()
        self.circuits = Circuits(clock)
        self.endpoint = EndpointSettings(NAME, url, "shared", 1_500_000, timeout_s)
        self.spent = Spent()
        self.retries_timeouts = False
        self._attempts = Attempts(
            upstream, self.token, Budget(time.monotonic), self.circuits
        )

    async def ask(self, *, within_s=WAIT_S, body=b'{"instances": []}', kind="x/y"):
        self.spent = Spent()
        return await self._attempts.call(
            self.endpoint,
            body,
            kind,
            deadline=asyncio.get_running_loop().time() + within_s,
            retries_timeouts=self.retries_timeouts,
            spent=self.spent,
        )

    async def asks_in_vain(self, error, **how):
        with pytest.raises(error) as raised:
            await self.ask(**how)
        return raised.value


def play(script, scene, **limits):
    """Run `scene(caller, server)` before an upstream that answers by `script`."""

    async def run():
        upstream = Upstream()
        async with script as server:
            try:
                return await scene(Caller(upstream, server.url, **limits), server)
            finally:
                await upstream.close()

    return asyncio.run(run())


def test_a_good_answer_is_asked_for_once_and_comes_back_as_it_is():
    async def scene(caller, server):
        outcome = await caller.ask(body=b"\x00any", kind="application/octet-stream")
        return outcome, server.requests, caller.spent

    outcome, requests, spent = play(ScriptedUpstream.saying(GOOD), scene)
    assert (outcome.answer.status, outcome.answer.body) == (200, b"good")
    assert outcome.deployed_model_id == "77"
    assert outcome.tries == spent.tries == 1
    assert 0 < outcome.upstream_s == spent.upstream_s < WAIT_S
    [(head, body)] = requests
    assert body == b"\x00any"
    assert head.startswith(f"POST /v1/{NAME}:rawPredict HTTP/1.1\r\n".encode())
    assert b"\r\nContent-Type: application/octet-stream\r\n" in head
    assert b"\r\nAuthorization: Bearer local." in head


@pytest.mark.parametrize("status", [429, 503])
def test_an_upstream_that_is_busy_is_asked_again(status):
    async def scene(caller, server):
        return await caller.ask(), server.requests

    busy = answer(status)
    outcome, requests = play(ScriptedUpstream.saying(busy, busy, GOOD), scene)
    assert outcome.answer.status == 200
    assert outcome.tries == len(requests) == 3
    assert len({body for _, body in requests}) == 1


def test_the_last_answer_is_passed_on_word_for_word():
    async def scene(caller, server):
        return await caller.ask(), len(server.requests)

    outcome, asked = play(ScriptedUpstream.saying(BUSY), scene)
    assert asked == outcome.tries == 3
    assert outcome.answer.status == 503
    assert outcome.answer.body == b"theirs, word for word"
    assert outcome.answer.headers["x-any"] == "thing"


def test_when_the_budget_is_used_up_nobody_is_asked_again():
    async def scene(caller, server):
        for _ in range(10):
            assert (await caller.ask()).answer.status == 503
        return len(server.requests)

    assert play(ScriptedUpstream.saying(BUSY), scene) == 10 + BUDGET_LEAST


@pytest.mark.parametrize("status", [400, 403, 404, 413, 500, 502, 504])
def test_any_other_answer_is_final(status):
    async def scene(caller, server):
        return (await caller.ask()).answer.status, len(server.requests)

    script = ScriptedUpstream.saying(answer(status), GOOD)
    assert play(script, scene) == (status, 1)


def test_upstream_is_left_alone_for_as_long_as_it_asks():
    async def scene(caller, server):
        outcome = await caller.ask()
        return outcome.answer.status, server.asked_at

    script = ScriptedUpstream.saying(answer(503, retry_after=1), GOOD)
    status, (first_at, second_at) = play(script, scene)
    assert status == 200
    assert second_at - first_at >= 1.0


@pytest.mark.parametrize(
    ("asked_s", "within_s"), [(2, 1), (int(RETRY_AFTER_MAX_S) + 1, WAIT_S)]
)
def test_who_would_have_to_wait_too_long_is_told_at_once(asked_s, within_s):
    async def scene(caller, server):
        outcome = await caller.ask(within_s=within_s)
        assert outcome.answer.headers["retry-after"] == str(asked_s)
        return outcome.answer.status, len(server.requests), outcome.upstream_s

    script = ScriptedUpstream.saying(answer(429, retry_after=asked_s), GOOD)
    status, asked, took_s = play(script, scene)
    assert (status, asked) == (429, 1)
    assert took_s < 1


def test_a_deadline_is_kept_through_all_that_happens():
    async def scene(caller, server):
        began_at = asyncio.get_running_loop().time()
        await caller.asks_in_vain(LateAnswerError, within_s=0.3)
        return asyncio.get_running_loop().time() - began_at, len(server.requests)

    took_s, asked = play(ScriptedUpstream.saying(STALL), scene)
    assert 0.3 <= took_s < 0.3 + SLACK_S
    assert asked == 1


def test_an_endpoint_gets_no_more_than_its_own_time():
    async def scene(caller, server):
        await caller.asks_in_vain(LateAnswerError)
        return caller.spent

    spent = play(ScriptedUpstream.saying(STALL), scene, timeout_s=0.2)
    assert spent.tries == 1
    assert 0.2 <= spent.upstream_s < 0.2 + SLACK_S


def test_a_second_try_that_is_late_gives_the_first_ones_answer():
    async def scene(caller, server):
        began_at = asyncio.get_running_loop().time()
        outcome = await caller.ask(within_s=0.5)
        return outcome, asyncio.get_running_loop().time() - began_at

    outcome, took_s = play(ScriptedUpstream.saying(BUSY, STALL), scene)
    assert (outcome.answer.status, outcome.tries) == (503, 2)
    assert took_s < 0.5 + SLACK_S


def test_no_try_begins_that_has_less_than_an_answer_usually_takes():
    async def scene(caller, server):
        permit = caller.circuits.admit(NAME)
        await asyncio.sleep(0.3)
        permit.answered(200, "77")
        permit.close()
        outcome = await caller.ask(within_s=0.25)
        return outcome.answer.status, len(server.requests)

    assert play(ScriptedUpstream.saying(BUSY, GOOD), scene) == (503, 1)


def test_a_late_answer_is_asked_for_again_only_where_the_route_says_so():
    async def scene(caller, server):
        caller.retries_timeouts = True
        outcome = await caller.ask()
        return outcome.answer.status, outcome.tries

    script = ScriptedUpstream.saying(STALL, answer(504), GOOD)
    assert play(script, scene, timeout_s=0.3) == (200, 3)


def test_an_answer_that_breaks_off_is_not_asked_for_again():
    async def scene(caller, server):
        caller.retries_timeouts = True
        await caller.asks_in_vain(BrokenAnswerError)
        return caller.spent.tries, len(server.requests)

    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    assert play(ScriptedUpstream.saying((half, BREAK), GOOD), scene) == (1, 1)


def test_a_connection_that_is_refused_is_tried_again():
    async def scene(caller, server):
        server.stop_listening()
        await caller.asks_in_vain(NotSentError)
        return caller.spent.tries

    assert play(ScriptedUpstream.saying(GOOD), scene) == 3


def test_an_answer_before_a_refused_connection_is_still_the_answer():
    async def scene(caller, server):
        asking = asyncio.create_task(caller.ask())
        await server.was_asked.wait()
        server.stop_listening()
        outcome = await asking
        return outcome.answer.status, outcome.tries

    closing = answer(503, connection="close")
    assert play(ScriptedUpstream.saying(closing), scene) == (503, 3)


def tokens(server):
    lines = [line for head, _ in server.requests for line in head.split(b"\r\n")]
    return [line for line in lines if line.startswith(b"Authorization: ")]


def test_a_token_that_is_refused_is_replaced_once_and_nobody_sees_it():
    async def scene(caller, server):
        outcome = await caller.ask()
        return outcome, tokens(server)

    outcome, used = play(ScriptedUpstream.saying(answer(401), GOOD), scene)
    assert outcome.answer.status == 200
    assert outcome.tries == 2
    assert len(set(used)) == 2


def test_a_new_token_is_no_retry():
    async def scene(caller, server):
        outcome = await caller.ask()
        return outcome.answer.status, outcome.tries

    script = ScriptedUpstream.saying(answer(401), BUSY, BUSY, GOOD)
    assert play(script, scene) == (200, 4)


def test_an_upstream_that_refuses_every_token_does_not_speak_of_the_callers():
    async def scene(caller, server):
        errors = [await caller.asks_in_vain(UpstreamRefusedError) for _ in range(3)]
        return errors, caller.spent.tries, len(server.requests)

    errors, tries, asked = play(ScriptedUpstream.saying(answer(401)), scene)
    assert str(errors[0]) == "Vertex AI refused this function's credentials"
    # Only the first is worth a new token; see FORGET_AGAIN_S.
    assert (tries, asked) == (1, 4)


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_deployed_model_refuses_is_its_own_word(status):
    async def scene(caller, server):
        outcome = await caller.ask()
        return outcome.answer.status, outcome.answer.body, len(server.requests)

    refusal = answer(status, b"not you", x_vertex_ai_deployed_model_id="77")
    assert play(ScriptedUpstream.saying(refusal), scene) == (status, b"not you", 1)


def test_a_403_is_passed_on_whoever_said_it():
    async def scene(caller, _):
        return (await caller.ask()).answer.status

    assert play(ScriptedUpstream.saying(answer(403)), scene) == 403


def test_an_id_of_a_deployed_model_is_not_kept_longer_than_it_may_be():
    async def scene(caller, _):
        return (await caller.ask()).deployed_model_id

    long = answer(200, x_vertex_ai_deployed_model_id="9" * 5000)
    assert play(ScriptedUpstream.saying(long), scene) == "9" * 256


def fetch_tokens_from(port, folder, patch):
    """Give google-auth an account whose tokens come from a port of the test's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "client_email": "any@example.com",
        "private_key": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode(),
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def test_without_a_token_nothing_is_sent(tmp_path, monkeypatch):
    fetch_tokens_from(1, tmp_path, monkeypatch)

    async def scene(caller, server):
        await caller.asks_in_vain(UpstreamUnavailableError)
        return caller.spent.tries, len(server.requests)

    assert play(ScriptedUpstream.saying(GOOD), scene) == (0, 0)


def test_a_token_is_not_waited_for_beyond_the_deadline(tmp_path, monkeypatch):
    silent = socket.create_server(("127.0.0.1", 0))
    fetch_tokens_from(silent.getsockname()[1], tmp_path, monkeypatch)

    async def scene(caller, server):
        began_at = asyncio.get_running_loop().time()
        with silent:
            await caller.asks_in_vain(LateAnswerError, within_s=0.3)
        took_s = asyncio.get_running_loop().time() - began_at
        return took_s, len(server.requests), caller.circuits.usual_s(NAME)

    took_s, asked, usual_s = play(ScriptedUpstream.saying(GOOD), scene)
    assert 0.3 <= took_s < 0.3 + SLACK_S
    assert (asked, usual_s) == (0, 0.0)


def test_a_failing_endpoint_is_soon_asked_no_more_and_well_at_once():
    is_well = False

    async def scene(caller, server):
        nonlocal is_well
        refused = 0
        for _ in range(3 * int(OPENS_AT)):
            with contextlib.suppress(CircuitOpenError):
                assert (await caller.ask()).answer.status == 503
                continue
            refused += 1
        asked = len(server.requests)
        error = await caller.asks_in_vain(CircuitOpenError)
        assert 0 < error.retry_after_s <= PROBE_MAX_S
        assert caller.spent.tries == 0
        is_well = True
        await asyncio.sleep(error.retry_after_s)
        assert (await caller.ask()).answer.status == 200
        return refused, asked

    script = ScriptedUpstream(lambda _: GOOD if is_well else BUSY)
    refused, asked = play(script, scene)
    assert refused >= OPENS_AT
    assert asked <= OPENS_AT + BUDGET_LEAST + 10


@pytest.mark.parametrize("said", [STALL, BREAK])
def test_what_brings_no_answer_opens_the_circuit(said):
    async def scene(caller, server):
        for _ in range(int(OPENS_AT) + 5):
            with contextlib.suppress(LateAnswerError, BrokenAnswerError):
                await caller.ask()
        await caller.asks_in_vain(CircuitOpenError)

    with contextlib.suppress(CircuitOpenError):
        play(ScriptedUpstream.saying(said), scene, timeout_s=0.02)
        pytest.fail("it was asked for ever")


def test_a_caller_who_leaves_holds_nothing_up():
    async def scene(caller, server):
        asking = asyncio.create_task(caller.ask())
        await server.was_asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return (await caller.ask()).answer.status

    assert play(ScriptedUpstream.saying(STALL, GOOD), scene) == 200


def test_probes_of_callers_in_a_hurry_keep_no_other_from_going():
    now = [0.0]

    async def scene(caller, server):
        while not caller.circuits.shut_for_s(NAME):
            await caller.ask()
        for _ in range(PROBES_MAX + 2):
            now[0] += 60
            await caller.asks_in_vain(LateAnswerError, within_s=0.02)

    script = ScriptedUpstream(lambda number: BUSY if number < OPENS_AT else STALL)
    play(script, scene, clock=lambda: now[0])


def test_a_header_that_would_break_its_line_is_the_callers_fault():
    async def scene(caller, server):
        await caller.asks_in_vain(MalformedError, kind="x/y\r\nX-Other: z")
        return len(server.requests)

    assert play(ScriptedUpstream.saying(GOOD), scene) == 0


@pytest.mark.parametrize("said", [STALL, GOOD, BUSY, BREAK])
def test_a_body_is_held_by_nobody_once_its_call_is_over(said):
    body = b"x" * 100_000

    async def scene(caller, server):
        before = sys.getrefcount(body)
        for _ in range(2 * int(OPENS_AT)):
            with contextlib.suppress(
                LateAnswerError, BrokenAnswerError, CircuitOpenError
            ):
                await caller.ask(body=body, within_s=0.02)
        # The last error goes with the loop's next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sys.getrefcount(body) - before

    gc.disable()
    try:
        assert play(ScriptedUpstream.saying(said), scene) == 0
    finally:
        gc.enable()
