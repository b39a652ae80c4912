"""One ledger on each database, and what is written into it."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.adapters.ledger import Ledger
from packhorse.assignment import BundleRef, bundle_target
from packhorse.names import Release
from packhorse.report import DeviceState, Report

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def ledger(ledger_url):
    found = Ledger(ledger_url)
    yield found
    found.close()


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def later():
    return lambda seconds: NOW + timedelta(seconds=seconds)


@pytest.fixture
def release():
    return Release("magika", 2)


@pytest.fixture
def bundle():
    def make(release, variant="fp32"):
        target = bundle_target(release, variant)
        return BundleRef(target, 1000, f"{release.version:064x}")

    return make


@pytest.fixture
def register(ledger, release, now):
    def do(which=release, *, digest=DIGEST, variants=("fp32",), at=now):
        card = {"licence": "Apache-2.0"}
        return ledger.register_release(
            which, digest=digest, card=card, variants=variants, at=at
        )

    return do


@pytest.fixture
def package(ledger, bundle, now):
    def do(release, variant="fp32"):
        ledger.variant_packaged(release, variant, bundle(release, variant), now)

    return do


@pytest.fixture
def deploy(ledger, register, package, now):
    """Bring a release as far as the candidate endpoint."""

    def do(release):
        register(release, digest=f"sha256:{release.version:064x}")
        package(release)
        ledger.published(release, at=now)
        ledger.deployed(release, at=now)

    return do


@pytest.fixture
def report(release, now):
    def make(device="gateway-1", sequence=1, state=DeviceState.SERVING, **changes):
        fields = {"release": release, "rollout_id": "magika-2-1", "at": now}
        return Report(
            device=device, sequence=sequence, state=state, **{**fields, **changes}
        )

    return make
