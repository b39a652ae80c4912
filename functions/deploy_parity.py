"""Prove that the candidate endpoint answers the golden samples as it must."""

import math
from datetime import UTC, datetime

import flask
import functions_framework

from functions import replies, wiring
from functions.adapters.parity import measure_parity, read_samples
from functions.deploy_steps import endpoints_of, read_release, served_bundle
from functions.errors import NotFoundError
from functions.release.records import ReleaseRecord, ReleaseState
from packhorse.comparison import Comparison


@functions_framework.http
@replies.as_guarded_json
def deploy_parity(request: flask.Request, _caller: str) -> replies.Reply:
    """Serve `POST /` `{"release"}`: whether it agrees; if not, it is refused."""
    release = read_release(request)
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    if record.state is ReleaseState.REFUSED:
        return replies.ok({"agrees": False, "reason": record.reason})
    comparison = _compare(record)
    _record(record, comparison)
    differences = {
        name: difference if math.isfinite(difference) else None
        for name, difference in comparison.largest_difference.items()
    }
    replies.note(agrees=comparison.agrees, largest_difference=differences)
    return replies.ok(
        {
            "agrees": comparison.agrees,
            "reason": comparison.reason,
            "largest_difference": differences,
        }
    )


def _compare(record: ReleaseRecord) -> Comparison:
    bundle, name = served_bundle(record)
    stream = wiring.bundle_store().open_reader(name)
    if stream is None:
        raise NotFoundError(f"{record.release} was published, but {name} is not there")
    with stream:
        manifest, samples = read_samples(stream, bundle)
    endpoint = endpoints_of(record.release.model).candidate
    return measure_parity(wiring.raw_predict(), endpoint, manifest, samples)


def _record(record: ReleaseRecord, comparison: Comparison) -> None:
    now = datetime.now(UTC)
    if comparison.agrees:
        wiring.ledger().deployed(record.release, at=now)
    else:
        reason = f"on the candidate endpoint: {comparison.reason}"
        wiring.ledger().refuse_release(record.release, reason=reason, at=now)
