"""A rollout's record in the states that the rules are asked about."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.release import rollout
from functions.release.gate import Gate
from packhorse.assignment import BundleRef, Offer, bundle_target
from packhorse.names import Release

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def later():
    return lambda seconds: NOW + timedelta(seconds=seconds)


@pytest.fixture
def gate():
    return Gate(min_success_ratio=0.9, soak_s=60, patience_s=600, fleet_share=0.05)


@pytest.fixture
def offer():
    def make(version, model="magika"):
        release = Release(model, version)
        target = bundle_target(release, "fp32")
        bundle = BundleRef(target, 1000 + version, f"{version:064x}")
        return Offer(release, {"fp32": bundle})

    return make


@pytest.fixture
def waiting(offer):
    """Release 1 has not been offered to anybody yet."""
    return rollout.begin(None, offer(1), at=NOW)


@pytest.fixture
def finished(waiting):
    """Everybody runs release 1."""
    return rollout.finish(waiting)


@pytest.fixture
def opened(finished, offer):
    """Release 2 is offered to some of ring 0; everybody else runs release 1."""
    return open_ring_0(rollout.begin(finished, offer(2), at=NOW))


def open_ring_0(record):
    return rollout.open_first(
        record, ring=0, share=500, rollout_id=record.rollout_id, at=NOW
    )


@pytest.fixture
def upgraded(opened):
    """Everybody runs release 2, and release 1 is kept to go back to."""
    return rollout.finish(opened)
