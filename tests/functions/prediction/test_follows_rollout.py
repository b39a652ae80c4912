"""The whole function holds what answers against the signed rollout."""

import json

import pytest

from tests.functions.adapters.rollout_bucket import (
    BUCKET,
    TIMESTAMP,
    BucketServer,
    SignedBucket,
    rollout,
)
from tests.functions.prediction.whole_function import running, upstream_and_settings


@pytest.fixture
def repository():
    return SignedBucket()


@pytest.fixture
def bucket(repository):
    found = BucketServer(repository.objects)
    yield found
    found.stop()


@pytest.fixture
def settings(identity, repository, bucket, tmp_path):
    """Serve magika@1, and let only what the rollout offers answer."""
    root_file = tmp_path / "root.json"
    root_file.write_bytes(repository.first_root)
    with upstream_and_settings(identity, tmp_path) as (_, patch):
        patch.setenv("BUNDLE_BUCKET", BUCKET)
        patch.setenv("TRUST_ROOT_FILE", str(root_file))
        patch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        patch.setenv("MODEL_PIN_ENFORCE", "1")
        yield tmp_path


def expected(function):
    (model,) = json.loads(function.ask("GET", "/releases").body)["models"]
    return model["expected"]


def last_request(function):
    return [one for one in function.lines()[0] if "own_ms" in one][-1]


def test_a_release_of_the_rollout_answers_and_another_is_refused(settings, repository):
    repository.publish(rollout(1, stable=2))
    with running(settings) as function:
        refused = function.predict()
        told = expected(function)

    assert refused.status == 502
    assert b"magika@1 answered, and only magika@2 may" in refused.body
    assert (told["releases"], told["source"]) == (["magika@2"], "rollout")
    assert not told["is_stale"]


def test_a_rollout_that_is_seconds_old_raises_no_alarm(settings, repository, bucket):
    repository.publish(rollout(1, stable=2))
    with running(settings) as function:
        assert expected(function)["releases"] == ["magika@2"]
        repository.publish(rollout(2, stable=2, candidate=1))
        answer = function.predict()
        line = last_request(function)

    assert answer.status == 200
    assert answer.headers["x-packhorse-release"] == "magika@1"
    assert line["is_unexpected"] is False
    assert bucket.names().count(TIMESTAMP) == 2


def test_a_bucket_that_is_away_refuses_nobody(settings, bucket):
    bucket.fault = 503
    with running(settings) as function:
        answer = function.predict()
        told = expected(function)
        events = [line.get("event") for line in function.lines()[0]]

    assert answer.status == 200
    assert told["source"] == "nothing"
    assert events.count("rollouts not read") == 1
