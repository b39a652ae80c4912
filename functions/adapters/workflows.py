"""Start the workflow that deploys a release, and ask how an execution ended.

Over REST: Google's client for executions speaks gRPC alone, and two calls need
no client. Starting twice is harmless, because a workflow's first step claims the
release and a second execution ends there.

Source: Workflow Executions API v1, `projects.locations.workflows.executions.create`
and `.get`
"""

import json
from urllib.parse import quote

import google.auth
from google.auth.transport.requests import AuthorizedSession

from functions.adapters.calls import refusal, upstream
from functions.errors import UpstreamUnavailableError
from functions.setting_values import WorkflowSettings
from packhorse.names import Release

_NAME = "Workflows"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_S = 20.0
"""Workflows only writes the execution down; it runs on its own."""
_ERRORS_FROM = 300
_NOT_FOUND = 404
_FAILED = frozenset({"FAILED", "CANCELLED"})


class ReleaseWorkflow:
    """The workflow `workflows/release.yaml`, deployed."""

    def __init__(self, settings: WorkflowSettings) -> None:
        """Prepare a session; it connects at the first call."""
        self._url = f"{settings.api_url}/v1/{settings.workflow}/executions"
        with upstream(_NAME):
            credentials, _ = google.auth.default(scopes=[_SCOPE])
            self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # google-auth's

    def start(self, release: Release) -> str:
        """Start an execution for a release and return the execution's name.

        Raises:
            UpstreamUnavailableError: Perhaps started; safe to call again.
            UpstreamRefusedError: There is no such workflow, or it is closed to us.
        """
        body = {"argument": json.dumps({"release": str(release)})}
        with upstream(_NAME):
            response = self._session.post(
                self._url, json=body, timeout=TIMEOUT_S, allow_redirects=False
            )
        if response.status_code >= _ERRORS_FROM:
            raise refusal(_NAME, response.status_code)
        return _field(response.content, "name")

    def has_failed(self, execution: str) -> bool:
        """Tell whether an execution has ended, and not well.

        One that Workflows knows no longer has: it forgets an execution only
        some months after its end.

        Args:
            execution: Its id, the last part of its name.

        Raises:
            UpstreamError: Workflows did not say.
        """
        url = f"{self._url}/{quote(execution, safe='')}"
        with upstream(_NAME):
            response = self._session.get(
                url, params={"view": "BASIC"}, timeout=TIMEOUT_S, allow_redirects=False
            )
        if response.status_code == _NOT_FOUND:
            return True
        if response.status_code >= _ERRORS_FROM:
            raise refusal(_NAME, response.status_code)
        return _field(response.content, "state") in _FAILED


def _field(body: bytes, name: str) -> str:
    try:
        return str(json.loads(body)[name])
    except (ValueError, KeyError, TypeError) as error:
        raise UpstreamUnavailableError(f"{_NAME} sent no {name}") from error
