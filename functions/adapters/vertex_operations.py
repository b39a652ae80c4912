"""Long-running operations of Vertex AI: whether one still runs, how one ended.

Source: google/longrunning/operations.proto, google/rpc/code.proto
"""

from collections.abc import Iterator

from google.api_core import exceptions as google_errors
from google.cloud import aiplatform_v1
from google.longrunning.operations_pb2 import (  # type: ignore[import-untyped]  # Google ships none
    GetOperationRequest,
    ListOperationsRequest,
    Operation,
)
from google.rpc import code_pb2  # type: ignore[import-untyped]  # Google ships none

from functions.adapters.calls import upstream

NAME = "Vertex AI"
TIMEOUT_S = 20.0
"""Each call only reads or starts something; three fit into a function's minute."""
_PAGES_MAX = 20
_FOR_GOOD = frozenset(
    {
        code_pb2.INVALID_ARGUMENT,
        code_pb2.DEADLINE_EXCEEDED,
        code_pb2.FAILED_PRECONDITION,
        code_pb2.OUT_OF_RANGE,
        code_pb2.UNIMPLEMENTED,
    }
)
"""What the model or its container is to blame for. The rest, a missing quota for
example, is no verdict on a release."""

Client = aiplatform_v1.ModelServiceClient | aiplatform_v1.EndpointServiceClient


def is_busy(client: Client, resource: str) -> bool:
    """Tell whether an operation on a model or an endpoint still runs."""
    with upstream(NAME):
        return any(not each.done for each in _operations(client, resource))


def failure_of(client: Client, operation: str) -> str:
    """Return the name of the code that an operation failed with for good, or "".

    Google's own words are not repeated; they lie where the operation's name leads.
    """
    request = GetOperationRequest(name=operation)
    with upstream(NAME):
        try:
            answer = client.get_operation(request, timeout=TIMEOUT_S)
        except google_errors.NotFound:
            return ""
    has_failed = answer.done and answer.error.code in _FOR_GOOD
    return str(code_pb2.Code.Name(answer.error.code)) if has_failed else ""


def _operations(client: Client, resource: str) -> Iterator[Operation]:
    """Return the operations of a model or an endpoint, at most `_PAGES_MAX` pages."""
    token = ""
    for _ in range(_PAGES_MAX):
        request = ListOperationsRequest(name=resource, page_token=token)
        try:
            answer = client.list_operations(request, timeout=TIMEOUT_S)
        except google_errors.NotFound:
            return
        yield from answer.operations
        token = answer.next_page_token
        if not token:
            return
