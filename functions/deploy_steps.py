"""Read what the workflow sends to the functions that deploy a release.

Each of them is one short step, safe to repeat: `workflows/release.yaml` puts
them in order, waits between them and calls again what is not done.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import flask

from functions import replies, wiring
from functions.errors import NotFoundError, ReleaseRefusedError, SettingsError
from functions.release.metadata import target_object
from functions.release.records import ReleaseRecord, ReleaseState
from functions.setting_values import ModelEndpoints
from packhorse.assignment import BundleRef
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_json

SERVED_VARIANT = "fp32"
"""What Vertex AI serves: the reference that parity is measured against."""

FAILURES_MAX = 2
"""A machine may die under a container; twice in a row it is the container."""

STEP_MAX_BYTES = 4096
"""A step names a release and an execution, and nothing else."""


def read_fields(request: flask.Request) -> tuple[Release, Fields]:
    """Return the release that the request names, and what else it holds."""
    body = replies.read_body(request, limit_bytes=STEP_MAX_BYTES)
    value = decode_json(body, what="deploy step", limit_bytes=STEP_MAX_BYTES)
    fields = Fields(value, "the deploy step")
    release = parse_release(fields.text("release", max_length=80))
    replies.note(release=str(release))
    return release, fields


def read_release(request: flask.Request) -> Release:
    """Return the release that the request names, and nothing else."""
    release, fields = read_fields(request)
    fields.done()
    return release


def step_reply(*, is_done: bool) -> replies.Reply:
    """Tell the workflow whether to go on, or to ask again."""
    replies.note(is_done=is_done)
    return replies.ok({"done": is_done})


def unrefused(release: Release) -> ReleaseRecord:
    """Return what the ledger knows of a release that may go on.

    Raises:
        NotFoundError: It was never registered.
        ReleaseRefusedError: It was refused.
    """
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    if record.state is ReleaseState.REFUSED:
        raise ReleaseRefusedError(f"{release} was refused: {record.reason}")
    return record


def failure_of_step(release: Release, step: str) -> str:
    """Look how the step's last operation ended, and count it if it failed for good.

    Returns:
        Why the step must not be tried again, or "" while it may.
    """
    ledger = wiring.ledger()
    operation = ledger.operation(release, step)
    failure = wiring.vertex().failure_of(operation) if operation else ""
    if not failure:
        return ""
    failures = ledger.operation_failed(release, step, operation)
    replies.note(failure=failure, failures=failures)
    if failures < FAILURES_MAX:
        return ""
    return (
        f"{step} was tried {failures} times, and Vertex AI failed with {failure}; "
        f"it says more under {operation}"
    )


def refuse_if_it_failed(release: Release, step: str) -> None:
    """Stop a release whose step failed too often.

    Raises:
        ReleaseRefusedError: It did; that is recorded.
    """
    reason = failure_of_step(release, step)
    if reason:
        now = datetime.now(UTC)
        wiring.ledger().refuse_release(release, reason=reason, at=now)
        raise ReleaseRefusedError(f"{release} is refused: {reason}")


def remember_operation(release: Release, step: str) -> Callable[[str], None]:
    """Return what notes the operation that a step begins."""

    def note(operation: str) -> None:
        if operation:
            replies.note(operation=operation)
            wiring.ledger().operation_begun(release, step, operation)

    return note


def served_bundle(record: ReleaseRecord) -> tuple[BundleRef, str]:
    """Return the bundle that Vertex AI serves, and the object that holds it."""
    bundle = record.offer().variants.get(SERVED_VARIANT)
    if bundle is None:
        raise ReleaseRefusedError(
            f"{record.release} has no variant {SERVED_VARIANT}, which Vertex AI serves"
        )
    return bundle, target_object(bundle.target, bundle.sha256)


def endpoints_of(model: str) -> ModelEndpoints:
    """Return where a model is deployed.

    Raises:
        SettingsError: `MODEL_ENDPOINTS` does not name it.
    """
    found = wiring.model_endpoints().get(model)
    if found is None:
        raise SettingsError(f"MODEL_ENDPOINTS names no endpoints for {model}")
    return found
