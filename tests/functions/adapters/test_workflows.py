"""Starting the release workflow over REST."""

import pytest

from functions.adapters.workflows import ReleaseWorkflow
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from functions.settings import WorkflowSettings
from packhorse.names import Release
from tests.functions.adapters.test_raw_predict import answering

WORKFLOW = "projects/p/locations/l/workflows/release"


def start(url):
    workflow = ReleaseWorkflow(WorkflowSettings(url, WORKFLOW))
    return workflow.start(Release("magika", 2))


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
