"""The Executions API over REST, held to the messages of Google's client."""

import json
import time

import pytest
import requests
from google.cloud.workflows import executions_v1

from local_cloud import google_http
from local_cloud.documents import Store
from local_cloud.workflows.api import Api
from local_cloud.workflows.executions import Executions, deploy
from local_cloud.workflows.http_calls import HttpCalls

PARENT = "projects/p/locations/l/workflows/double"
SOURCE = b"""
main:
  params: [x]
  steps:
    - wait_if_asked:
        switch:
          - condition: ${x < 0}
            steps:
              - wait: {call: sys.sleep, args: {seconds: 60}}
    - fail_if_asked:
        switch:
          - condition: ${x == 0}
            raise: {message: nothing to double}
    - double: {return: '${[2 * x, sys.get_env("GOOGLE_CLOUD_WORKFLOW_ID")]}'}
"""


class Stand:
    def __init__(self, directory):
        self.store = Store(directory / "workflows.sqlite")
        http = HttpCalls(lambda _audience: "token")
        workflows = {"double": deploy(SOURCE)}
        self.executions = Executions(self.store, workflows, {}, http)
        self.executions.take_up()
        self.server = google_http.start("127.0.0.1", 0, Api(self.executions).handle)

    def ask(self, method, path, **options):
        url = f"http://127.0.0.1:{self.server.port}/v1/{path}"
        return requests.request(method, url, timeout=10, **options)

    def create(self, x):
        body = {"argument": json.dumps(x), "labels": {"k": "v"}}
        return self.ask("POST", f"{PARENT}/executions", json=body)

    def wait(self, name):
        end = time.monotonic() + 10
        while (shown := self.ask("GET", name)).json()["state"] == "ACTIVE":
            assert time.monotonic() < end
            time.sleep(0.01)
        return execution_of(shown)

    def close(self):
        self.executions.stop()
        self.server.shutdown()
        self.server.server_close()
        self.store.close()


def execution_of(reply):
    """Read an answer as Google's client does, but refuse what it does not know."""
    assert reply.status_code == 200, reply.text
    return executions_v1.Execution.from_json(reply.text, ignore_unknown_fields=False)


@pytest.fixture
def stand(tmp_path):
    stand = Stand(tmp_path)
    yield stand
    stand.close()


def test_an_execution_is_active_and_then_has_a_result(stand):
    begun = execution_of(stand.create(21))

    ended = stand.wait(begun.name)

    assert begun.state == executions_v1.Execution.State.ACTIVE
    assert ended.state == executions_v1.Execution.State.SUCCEEDED
    assert json.loads(ended.result) == [42, "double"]
    assert ended.end_time >= ended.start_time
    assert ended.labels == {"k": "v"}


def test_a_failed_execution_says_what_and_where(stand):
    ended = stand.wait(stand.create(0).json()["name"])

    assert ended.state == executions_v1.Execution.State.FAILED
    assert json.loads(ended.error.payload) == {"message": "nothing to double"}
    assert ended.error.stack_trace.elements[0].step == "fail_if_asked"


def test_an_active_execution_says_at_which_step_it_is(stand):
    name = stand.create(-1).json()["name"]

    end = time.monotonic() + 10
    steps = []
    while steps != ["wait"]:
        assert time.monotonic() < end
        status = execution_of(stand.ask("GET", name)).status
        steps = [step.step for step in status.current_steps]


def test_a_list_shows_the_newest_first_in_pages_and_little_unless_asked(stand):
    names = [stand.create(x).json()["name"] for x in (1, 2, 3)]

    first = stand.ask("GET", f"{PARENT}/executions?pageSize=2").json()
    token = first["nextPageToken"]
    second = stand.ask("GET", f"{PARENT}/executions?pageToken={token}&view=FULL").json()

    shown = [one["name"] for one in first["executions"] + second["executions"]]
    assert shown == names[::-1]
    assert "argument" not in first["executions"][0]
    assert second["executions"][0]["argument"] == "1"


def test_a_cancelled_execution_stays_cancelled(stand):
    name = stand.create(-1).json()["name"]

    cancelled = execution_of(stand.ask("POST", f"{name}:cancel", json={}))

    assert cancelled.state == executions_v1.Execution.State.CANCELLED
    assert stand.ask("POST", f"{name}:cancel", json={}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PARENT.replace("double", "none"), {}, 404),
        (PARENT, {"argument": "{"}, 400),
        (PARENT, {"argument": json.dumps("x" * 32 * 1024)}, 400),
    ],
    ids=["no workflow", "no JSON", "too long"],
)
def test_an_execution_that_cannot_begin_is_refused(stand, path, body, status):
    reply = stand.ask("POST", f"{path}/executions", json=body)

    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status


def test_an_execution_that_is_not_there_is_not_found(stand):
    assert stand.ask("GET", f"{PARENT}/executions/none").status_code == 404


def test_executions_outlive_the_stand_in_and_the_unfinished_run_again(tmp_path):
    first = Stand(tmp_path)
    done = first.create(4).json()["name"]
    first.wait(done)
    cut_off = first.create(-1).json()["name"]
    first.close()

    second = Stand(tmp_path)

    assert json.loads(second.wait(done).result)[0] == 8
    active = execution_of(second.ask("GET", cut_off))
    assert active.state == executions_v1.Execution.State.ACTIVE
    second.ask("POST", f"{cut_off}:cancel", json={})
    second.close()
