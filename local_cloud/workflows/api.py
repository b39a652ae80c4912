"""The Workflow Executions API over REST.

Google's own client for it, google-cloud-workflows 1.24, speaks gRPC alone, so
what answers here is held to the API's messages instead: every answer must read
as the client's `Execution`.

Source: the `google.api.http` options of
google/cloud/workflows/executions/v1/executions.proto
"""

import re
from collections.abc import Callable

from local_cloud.documents import Document
from local_cloud.google_http import Reply, Request, find_route, json_reply
from local_cloud.workflows.executions import Executions

_WORKFLOW = r"(?P<name>projects/[^/:]+/locations/[^/:]+/workflows/[^/:]+)"
_EXECUTION = (
    r"(?P<name>projects/[^/:]+/locations/[^/:]+/workflows/[^/:]+/executions/[^/:]+)"
)
_BASIC = ("name", "startTime", "endTime", "duration", "state", "workflowRevisionId")
PAGE_SIZE = 100

Method = Callable[[Request, str], Reply]


class Api:
    """Finds the method for a request and calls it."""

    def __init__(self, executions: Executions) -> None:
        """Answer from `executions`."""
        self._executions = executions
        routes: list[tuple[str, str, Method]] = [
            ("POST", f"{_WORKFLOW}/executions", self._create),
            ("GET", f"{_WORKFLOW}/executions", self._list),
            ("GET", _EXECUTION, self._get),
            ("POST", f"{_EXECUTION}:cancel", self._cancel),
        ]
        self._routes = [(v, re.compile(f"/v1/{p}"), m) for v, p, m in routes]

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        method, name = find_route(self._routes, request)
        return method(request, name)

    def _create(self, request: Request, parent: str) -> Reply:
        return json_reply(self._executions.create(parent, request.json_object()))

    def _get(self, request: Request, name: str) -> Reply:
        execution = self._executions.get(name)
        is_basic = request.query.get("view") == "BASIC"
        return json_reply(_basic(execution) if is_basic else execution)

    def _list(self, request: Request, parent: str) -> Reply:
        found = self._executions.list(parent)
        size = int(request.query.get("pageSize") or PAGE_SIZE) or PAGE_SIZE
        begin = int(request.query.get("pageToken") or 0)
        shown = found[begin : begin + size]
        if request.query.get("view") != "FULL":
            shown = [_basic(execution) for execution in shown]
        page: Document = {"executions": shown}
        if begin + size < len(found):
            page["nextPageToken"] = str(begin + size)
        return json_reply(page)

    def _cancel(self, _request: Request, name: str) -> Reply:
        return json_reply(self._executions.cancel(name))


def _basic(execution: Document) -> Document:
    return {key: execution[key] for key in _BASIC if key in execution}
