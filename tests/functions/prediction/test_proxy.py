"""What callers and the log are told where this function itself is at fault."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from functions.errors import SettingsError
from functions.prediction.proxy import Proxy, Unready
from functions.prediction.reply import Reply
from functions.prediction.sending import PART_BYTES
from functions.prediction.underway import Underway

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/v2/health/live",
    "headers": [(b"x-request-id", b"abc")],
}


async def nothing_comes():
    raise AssertionError


def run(app, scope=SCOPE):
    """Return what an application sent."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, nothing_comes, send))
    return sent


def test_a_wrong_setting_is_logged_and_not_told(capfd):
    start, body = run(Unready(SettingsError("MODEL_ENDPOINTS is not set")))

    assert start["status"] == 500
    assert json.loads(body["body"]) == {"error": "this is our fault; it is logged"}
    line = json.loads(capfd.readouterr().out)
    assert (line["severity"], line["reason"]) == ("ERROR", "MODEL_ENDPOINTS is not set")


def test_a_crash_is_our_fault_and_its_place_is_logged(capfd):
    async def app(scope, receive, send):
        parts = SimpleNamespace(
            settings=SimpleNamespace(project=""), underway=Underway(), token=None
        )
        await Proxy(parts)(scope, receive, send)

    start, body = run(app, {**SCOPE, "path": "/v2/health/ready"})

    assert start["status"] == 500
    assert (b"x-request-id", b"abc") in start["headers"]
    assert json.loads(body["body"]) == {"error": "this is our fault; it is logged"}
    line = json.loads(capfd.readouterr().out)
    assert line["outcome"] == "crashed"
    assert line["where"][0] == "AttributeError"
    assert "descriptions.py" in line["where"][-1]


def sent_for(reply):
    async def app(_scope, receive, send):
        assert await reply.send(receive, send)

    return run(app)


def test_a_long_answer_is_handed_over_in_parts_and_the_last_is_waited_for():
    body = bytes(range(256)) * (2 * PART_BYTES // 256) + b"end"

    start, *parts = sent_for(Reply(200, body, []))

    assert (b"content-length", str(len(body)).encode()) in start["headers"]
    assert [part["more_body"] for part in parts] == [True, True, True, False]
    assert [len(part["body"]) for part in parts] == [PART_BYTES, PART_BYTES, 3, 0]
    assert b"".join(part["body"] for part in parts) == body


@pytest.mark.parametrize(("status", "has_length"), [(200, 1), (204, 0), (304, 0)])
def test_an_answer_that_never_has_a_body_says_no_length(status, has_length):
    start, _ = sent_for(Reply(status, b"", []))

    assert start["headers"] == [(b"content-length", b"0")] * has_length


def test_a_fault_of_the_server_is_not_taken_for_a_caller_that_left():
    async def send(_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        asyncio.run(Reply(200, b"", []).send(nothing_comes, send))
