"""Answer the people who run the fleet: the one door behind the CLI and console.

Whoever calls is verified and written into the record. A change names, in
`If-Match`, the state that it was decided upon.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import flask
import functions_framework

from functions import operate_devices, outbox, replies, wiring
from functions.errors import NotFoundError, PreconditionMissingError, StaleError
from functions.operate_requests import read_fields, take_reason
from functions.release import rollout
from functions.release.records import Change, ReleaseRecord
from functions.release.rollout import RolloutRecord
from functions.release.rollout_json import encode_record
from packhorse.assignment import encode_bundle_ref
from packhorse.errors import MalformedError
from packhorse.names import check_model, parse_release

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')

Answer = Callable[[flask.Request, str, str], replies.Reply]
"""Takes the request, the name in its path (or \"\") and the verified caller."""


@functions_framework.http
@replies.as_guarded_json
def operate(request: flask.Request, caller: str) -> replies.Reply:
    """Serve `/v1/...` for a verified operator."""
    for method, pattern, answer in _ROUTES:
        match = re.fullmatch(pattern, request.path)
        if match and request.method == method:
            return answer(request, (*match.groups(), "")[0], caller)
    raise NotFoundError(f"there is no {request.method} {request.path[:200]}")


def _read_status(request: flask.Request, name: str, caller: str) -> replies.Reply:
    del request, name, caller
    return replies.ok(wiring.ledger().snapshot_status())


def _read_release(request: flask.Request, name: str, caller: str) -> replies.Reply:
    del request, caller
    release = parse_release(name)
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    return replies.ok(_release_json(record, wiring.ledger().history(release)))


def _read_rollout(request: flask.Request, name: str, caller: str) -> replies.Reply:
    del request, caller
    return _rollout_reply(_rollout(name))


def _halt(request: flask.Request, name: str, caller: str) -> replies.Reply:
    reason = take_reason(read_fields(request), f"halted by {caller}")
    return _change(request, name, caller, lambda it: rollout.halt(it, reason=reason))


def _open(request: flask.Request, name: str, caller: str) -> replies.Reply:
    read_fields(request).done()
    now = datetime.now(UTC)
    return _change(request, name, caller, lambda it: rollout.resume(it, at=now))


def _withdraw(request: flask.Request, name: str, caller: str) -> replies.Reply:
    fields = read_fields(request)
    release = parse_release(fields.text("release"))
    reason = take_reason(fields, f"withdrawn by {caller}")
    if release.model != name:
        raise MalformedError(f"{release} is no release of {name}")
    return _change(
        request,
        name,
        caller,
        lambda it: rollout.withdraw(it, release, reason=reason),
    )


def _change(
    request: flask.Request,
    model: str,
    caller: str,
    change: Callable[[RolloutRecord], RolloutRecord],
) -> replies.Reply:
    """Apply a change to the very record that the caller has seen."""
    ledger = wiring.ledger()
    record = _rollout(model)
    _check_match(request, record)
    changed = change(record)
    ledger.save_rollout(
        changed, expected_sequence=record.sequence, at=datetime.now(UTC), by=caller
    )
    outbox.flush(ledger, wiring.publisher())
    replies.note(model=model, sequence=changed.sequence, state=changed.state.value)
    return _rollout_reply(changed)


def _check_match(request: flask.Request, record: RolloutRecord) -> None:
    header = request.headers.get("If-Match", "")
    if not header:
        raise PreconditionMissingError(
            f"say with If-Match which state of {record.model} is to be changed; "
            f"GET /v1/rollouts/{record.model} answers with its ETag"
        )
    match = _ETAG.fullmatch(header.strip())
    if match is None or int(match.group(1)) != record.sequence:
        raise StaleError(
            f"the rollout of {record.model} is at {_etag(record)}, "
            f"not {header[:40]}; look at it again"
        )


def _rollout(name: str) -> RolloutRecord:
    model = check_model(name)
    record = wiring.ledger().rollout(model)
    if record is None:
        raise NotFoundError(f"no release of {model} was ever rolled out")
    return record


def _rollout_reply(record: RolloutRecord) -> replies.Reply:
    return replies.ok(encode_record(record), ETag=_etag(record))


def _etag(record: RolloutRecord) -> str:
    return f'"{record.sequence}"'


def _release_json(
    record: ReleaseRecord, history: tuple[Change, ...]
) -> dict[str, object]:
    return {
        "release": str(record.release),
        "digest": record.digest,
        "state": record.state.value,
        "reason": record.reason,
        "card": dict(record.card),
        "variants": {
            name: encode_bundle_ref(bundle) if bundle else None
            for name, bundle in record.variants.items()
        },
        "model_version": record.model_version,
        "deployed_ids": dict(record.deployed_ids),
        "history": [change.to_json() for change in history],
    }


_ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", r"/v1/status", _read_status),
    ("GET", r"/v1/releases/([^/]+)", _read_release),
    ("GET", r"/v1/rollouts/([^/]+)", _read_rollout),
    ("POST", r"/v1/rollouts/([^/]+)/halt", _halt),
    ("POST", r"/v1/rollouts/([^/]+)/open", _open),
    ("POST", r"/v1/rollouts/([^/]+)/withdraw", _withdraw),
    ("GET", r"/v1/devices", operate_devices.list_devices),
    ("POST", r"/v1/devices", operate_devices.invite),
    ("GET", r"/v1/devices/([^/]+)", operate_devices.show),
    ("POST", r"/v1/devices/([^/]+)/revoke", operate_devices.revoke),
    ("POST", r"/v1/devices/([^/]+)/rotate", operate_devices.ask_for_rotation),
)
