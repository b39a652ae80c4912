"""Anyone with the root sees whether a release is vouched for."""

from datetime import UTC, datetime, timedelta

import pytest

from packhorse.names import Release
from tests.models import tiny_bundle
from tests.packhorse.cli.people import NOBODY
from tests.tuf_repository import RepositoryServer, TufRepository

RELEASE = Release("tiny", 2)


@pytest.fixture
def repository(tmp_path):
    found = TufRepository(tmp_path / "repository", models=("tiny",))
    _, body = tiny_bundle(2)
    found.publish_bundle(RELEASE, body)
    return found


@pytest.fixture
def verifier(person, repository, tmp_path):
    root = tmp_path / "root.json"
    root.write_bytes(repository.root_bytes)
    server = RepositoryServer(repository.folder)
    person.environ |= {
        "PACKHORSE_ROOT_FILE": str(root),
        "PACKHORSE_REPOSITORY_URL": server.url,
    }
    yield person
    server.stop()


def test_a_published_release_is_vouched_for(verifier):
    document = verifier.document("verify", RELEASE)
    assert (document["release"], document["members"]) == ("tiny@2", 2)
    shown = verifier.run("verify", RELEASE).stdout
    assert shown.startswith("tiny@2 fp32 is vouched for: ")
    assert document["sha256"] in shown


def test_a_release_that_nobody_published_is_not(verifier):
    assert "vouches for bundles/tiny/3" in verifier.refused("verify", "tiny@3")


def test_a_bundle_that_was_changed_is_not_to_be_trusted(verifier, repository):
    (bundle,) = (repository.folder / "targets").rglob("*.tar")
    bundle.write_bytes(b"\0" * bundle.stat().st_size)
    assert "is not to be trusted" in verifier.refused("verify", RELEASE)


def test_the_bundle_of_another_release_is_refused(verifier, repository):
    repository.publish_bundle(Release("tiny", 3), tiny_bundle(2)[1])
    assert verifier.refused("verify", "tiny@3") == "the bundle is of tiny@2"


def test_metadata_that_has_expired_is_not_to_be_trusted(verifier, repository):
    repository.refresh_timestamp(expires=datetime.now(UTC) - timedelta(days=1))
    assert "expired" in verifier.refused("verify", RELEASE)


def test_a_repository_that_is_away_is_a_sentence(verifier):
    words = ("verify", RELEASE, "--repository", NOBODY)
    assert "could not be read" in verifier.refused(*words)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff"])
def test_a_root_that_is_none_is_named(verifier, files, body):
    root = files.write("wrong.json", body)
    sentence = verifier.refused("verify", RELEASE, "--root", root)
    assert f"{root} must be the root metadata" in sentence
