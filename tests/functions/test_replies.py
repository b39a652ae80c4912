"""Errors become one status each, one log line, and no word that is not ours."""

import base64
import json
from datetime import UTC, datetime

import flask
import pytest
from cloudevents.http import CloudEvent

from functions import errors, replies
from packhorse import errors as shared
from tests.functions.conftest import AUDIENCE, PUSHER

SECRET = "postgresql://user:hunter2@10.0.0.1"


@pytest.fixture
def answer(capsys):
    """Serve one request with a function that raises `error`; reply and log line."""

    def do(error=None, reply=replies.ACCEPTED, **request):
        @replies.as_json
        def serve(_):
            if error is not None:
                raise error
            return reply

        with flask.Flask("test").test_request_context(**request):
            response = serve(flask.request)
        return response, json.loads(capsys.readouterr().out)

    return do


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (shared.LimitExceededError("x"), 413),
        (shared.MalformedError("x"), 400),
        (shared.TensorError("x"), 400),
        (shared.UntrustedError("x"), 403),
        (errors.UnauthorisedError("x"), 401),
        (errors.NotAllowedError("x"), 403),
        (errors.EnrolmentRefusedError("x"), 403),
        (errors.NotFoundError("x"), 404),
        (errors.ConflictError("x"), 409),
        (errors.StaleError("x"), 412),
        (errors.PreconditionMissingError("x"), 428),
        (errors.ReleaseRefusedError("x"), 409),
        (errors.ReportRefusedError("x"), 409),
        (errors.RolloutError("x"), 409),
        (errors.UpstreamUnavailableError("x"), 503),
        (errors.UpstreamRefusedError("x"), 502),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_its_status(answer, error, status):
    response, line = answer(error)

    assert (response.status_code, line["status"]) == (status, status)
    assert response.json == {"error": "x"}
    assert line["reason"] == "x"


@pytest.mark.parametrize("kind", [errors.SettingsError, errors.CloudError])
def test_how_a_function_is_set_up_is_said_in_the_log_alone(answer, kind):
    response, line = answer(kind("LEDGER_URL is not set"))

    assert response.status_code == 500
    assert "LEDGER_URL" not in response.get_data(as_text=True)
    assert line["reason"] == "LEDGER_URL is not set"


def test_a_crash_says_nothing_of_what_it_met(answer):
    response, line = answer(KeyError(SECRET))

    assert response.status_code == 500
    assert "hunter2" not in response.get_data(as_text=True)
    assert "hunter2" not in json.dumps(line)
    assert line["event"] == "serve crashed"
    assert line["where"][0] == "KeyError"


def test_the_cause_is_logged_by_its_kind_alone(answer):
    error = errors.UpstreamUnavailableError("the ledger gave no answer")
    error.__cause__ = ValueError(SECRET)

    response, line = answer(error)

    assert line["cause"] == "ValueError"
    assert "hunter2" not in json.dumps(line) + response.get_data(as_text=True)


def test_a_reply_carries_body_headers_and_a_log_line_with_the_trace(answer):
    trace = "a" * 32
    response, line = answer(
        reply=replies.ok({"a": 1}, ETag='"7"'),
        headers={"traceparent": f"00-{trace}-{'b' * 16}-01"},
    )

    assert (response.status_code, response.json) == (200, {"a": 1})
    assert response.headers["ETag"] == '"7"'
    assert (line["event"], line["severity"]) == ("serve done", "INFO")
    assert line["trace"] == trace
    assert line["took_ms"] >= 0


def test_a_body_is_read_up_to_its_limit_and_not_further():
    with flask.Flask("test").test_request_context(method="POST", data=b"12345"):
        assert replies.read_body(flask.request, limit_bytes=5) == b"12345"
    with flask.Flask("test").test_request_context(method="POST", data=b"123456"):
        with pytest.raises(shared.LimitExceededError, match="at most 5 bytes"):
            replies.read_body(flask.request, limit_bytes=5)
        assert flask.request.get_data() == b""


@pytest.fixture
def deliver(identity, client_of, capsys):
    """Hand an event to a function that raises `error`; its status and log line."""

    def do(error=None, data=None, kind="google.cloud.pubsub.topic.v1.messagePublished"):
        @replies.as_event
        def take(_):
            if error is not None:
                raise error

        app = flask.Flask("test")
        app.add_url_rule("/", view_func=lambda: take(event) or "OK", methods=["POST"])
        attributes = {"type": kind, "source": "//pubsub.googleapis.com/", "id": "7"}
        message = {
            "data": base64.b64encode(b"{}").decode(),
            "publishTime": datetime.now(UTC).isoformat(),
        }
        event = CloudEvent(attributes, data or {"message": message})
        token = identity.token(AUDIENCE, PUSHER)
        reply = app.test_client().post(
            "/", headers={"Authorization": f"Bearer {token}"}
        )
        return reply.status_code, json.loads(capsys.readouterr().out)

    client_of("sweep_ledger")
    capsys.readouterr()
    return do


@pytest.mark.parametrize(
    "error",
    [
        shared.MalformedError("x"),
        shared.UntrustedError("x"),
        errors.ReleaseRefusedError("x"),
        errors.ReportRefusedError("x"),
        errors.NotFoundError("x"),
    ],
)
def test_what_no_retry_can_cure_is_acknowledged_and_logged(deliver, error):
    status, line = deliver(error)

    assert status == 200
    assert (line["event"], line["severity"]) == ("take refused", "WARNING")
    assert line["reason"] == "x"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UpstreamUnavailableError("x"), 503),
        (errors.UpstreamRefusedError("x"), 502),
        (errors.ConflictError("x"), 409),
        (RuntimeError("x"), 500),
    ],
)
def test_what_a_retry_may_cure_comes_back(deliver, error, status):
    assert deliver(error)[0] == status


def test_an_event_that_is_no_message_is_acknowledged(deliver):
    status, line = deliver(data={"nothing": 1})

    assert status == 200
    assert "message" in line["reason"]


def test_an_event_of_another_kind_is_acknowledged(deliver):
    assert deliver(kind="google.cloud.audit.log.v1.written")[0] == 200
