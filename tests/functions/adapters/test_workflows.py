"""Starting the release workflow over REST, and asking how it ended."""

import pytest

from functions.adapters.workflows import ReleaseWorkflow
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from functions.setting_values import WorkflowSettings
from packhorse.names import Release
from tests.functions.adapters.test_raw_predict import answering

WORKFLOW = "projects/p/locations/l/workflows/release"


def start(url):
    workflow = ReleaseWorkflow(WorkflowSettings(url, WORKFLOW))
    return workflow.start(Release("magika", 2))


def has_failed(url, execution="1"):
    workflow = ReleaseWorkflow(WorkflowSettings(url, WORKFLOW))
    return workflow.has_failed(execution)


def test_an_execution_is_started_and_named(google_account):
    name = f"{WORKFLOW}/executions/1"
    with answering(200, b'{"name": "%s"}' % name.encode()) as (url, count):
        assert start(url) == name

    assert count == [f"/v1/{WORKFLOW}/executions"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"", UpstreamRefusedError),
        (302, b"", UpstreamRefusedError),
        (503, b"", UpstreamUnavailableError),
        (200, b"{}", UpstreamUnavailableError),
        (200, b"[]", UpstreamUnavailableError),
        (200, b"", UpstreamUnavailableError),
    ],
)
def test_an_execution_that_was_not_started_is_an_error(
    google_account, status, body, error
):
    with answering(status, body) as (url, _), pytest.raises(error):
        start(url)


def test_workflows_that_are_away_are_unavailable(google_account):
    with pytest.raises(UpstreamUnavailableError):
        start("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"state": "ACTIVE"}', False),
        (200, b'{"state": "SUCCEEDED"}', False),
        (200, b'{"state": "FAILED"}', True),
        (200, b'{"state": "CANCELLED"}', True),
        (404, b"", True),
    ],
)
def test_an_execution_has_failed_when_it_ended_without_success(
    google_account, status, body, answer
):
    with answering(status, body) as (url, count):
        assert has_failed(url, "a/b") is answer

    assert count == [f"/v1/{WORKFLOW}/executions/a%2Fb?view=BASIC"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b"", UpstreamRefusedError),
        (500, b"", UpstreamUnavailableError),
        (200, b"{}", UpstreamUnavailableError),
    ],
)
def test_an_execution_of_which_nothing_is_known_has_not_failed(
    google_account, status, body, error
):
    with answering(status, body) as (url, _), pytest.raises(error):
        has_failed(url)
