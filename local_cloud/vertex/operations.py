"""Long-running operations: accepted at once, carried out once, kept.

An operation holds what is to be done, so one that a SIGKILL cut off is taken up
again at the next start.

Source: google/longrunning/operations.proto
"""

from local_cloud.documents import Document, Transaction
from local_cloud.google_http import ApiError, timestamp_now

KIND = "operation"
_FIRST_ID = 8_800_000_000_000_000_001
_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."
_EMPTY = "type.googleapis.com/google.protobuf.Empty"
_GRPC_CODES = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}


def begin(work: Transaction, resource: str, verb: str, task: Document) -> Document:
    """Write a new operation on `resource`.

    Args:
        work: The transaction to write in.
        resource: The name of the model or endpoint.
        verb: `UploadModel`, `DeployModel`, ...: names the metadata's type.
        task: What to carry out: `do` and whatever that needs.
    """
    number = work.next_number("operation", first=_FIRST_ID)
    stamp = timestamp_now()
    kind = "Delete" if verb.startswith("Delete") else verb
    metadata: Document = {
        "@type": f"{_TYPES}{kind}OperationMetadata",
        "genericMetadata": {"createTime": stamp, "updateTime": stamp},
    }
    operation: Document = {
        "name": f"{resource}/operations/{number}",
        "done": False,
        "metadata": metadata,
        "task": task,
    }
    work.put(KIND, str(operation["name"]), operation)
    return operation


def read(work: Transaction, name: str) -> Document:
    """Return the operation `name`."""
    operation = work.get(KIND, name)
    if operation is None:
        raise ApiError("NOT_FOUND", f"The Operation does not exist: {name}")
    return operation


def list_on(work: Transaction, resource: str) -> list[Document]:
    """Return the operations on one model or endpoint, done or not."""
    prefix = f"{resource}/operations/"
    return [each for each in work.all(KIND) if str(each["name"]).startswith(prefix)]


def unfinished(work: Transaction) -> list[Document]:
    """Return the operations that are still to be carried out."""
    return [operation for operation in work.all(KIND) if not operation["done"]]


def succeed(work: Transaction, name: str, kind: str, response: Document) -> None:
    """Finish the operation with a message of type `kind`, or Empty for ""."""
    type_url = f"{_TYPES}{kind}" if kind else _EMPTY
    _finish(work, name, {"response": {"@type": type_url, **response}})


def fail(work: Transaction, name: str, error: ApiError) -> None:
    """Finish the operation with an error."""
    status = {"code": _GRPC_CODES[error.status], "message": error.message}
    _finish(work, name, {"error": status})


def shown(operation: Document) -> Document:
    """Return the operation as the API shows it."""
    return {key: value for key, value in operation.items() if key != "task"}


def _finish(work: Transaction, name: str, outcome: Document) -> None:
    work.put(KIND, name, {**read(work, name), **outcome, "done": True})
