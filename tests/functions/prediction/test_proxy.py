"""What callers and the log are told where this function itself is at fault."""

import asyncio
import json
from types import SimpleNamespace

from functions.errors import SettingsError
from functions.prediction.proxy import Proxy, Unready
from functions.prediction.reply import SLICE_BYTES, Reply
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


def test_a_long_answer_is_handed_over_in_slices():
    body = bytes(range(256)) * (2 * SLICE_BYTES // 256) + b"end"

    async def app(_scope, _receive, send):
        await Reply(200, body, []).send(send)

    start, *parts = run(app)

    assert (b"content-length", str(len(body)).encode()) in start["headers"]
    assert [part.get("more_body", False) for part in parts] == [True, True, False]
    assert b"".join(part["body"] for part in parts) == body
