"""Old bundles are kept by a rule, and what is needed never goes."""

import pytest

from edge_runtime.agent.archive import Archive, Kept, to_collect
from tests.edge_runtime.agent.bundles import release


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive", 250)


@pytest.fixture
def kept(archive, tmp_path):
    """Return a function that keeps a bundle of a hundred bytes; gives its digest."""

    def keep(version):
        digest = f"{version:064x}"
        path = tmp_path / f"{digest}.bundle"
        path.write_bytes(bytes(100))
        archive.take_in(path, release(version), "fp32")
        assert not path.exists()
        return digest

    return keep


def versions(archive):
    return sorted(one.release.version for one in archive.kept())


def test_the_lowest_versions_go_first_until_the_budget_fits(archive, kept):
    for version in (1, 2, 3, 4):
        kept(version)
    archive.collect(needed={None})
    assert versions(archive) == [3, 4]


def test_the_active_and_the_previous_never_go(archive, kept):
    for version in (1, 2, 3, 4):
        kept(version)
    archive.collect(needed={release(1), release(2)})
    assert versions(archive) == [1, 2]


def test_what_was_withdrawn_goes_at_once(archive, kept):
    for version in (1, 2):
        kept(version)
    archive.discard({release(2)})
    assert versions(archive) == [1]


def test_a_bundle_is_given_back_once(archive, kept, tmp_path):
    digest = kept(7)
    back = tmp_path / "downloads" / "b"
    assert archive.give_back(digest, back)
    assert back.read_bytes() == bytes(100)
    assert not archive.give_back(digest, back)


def test_without_a_budget_nothing_is_kept(tmp_path):
    bundle = tmp_path / "b.bundle"
    bundle.touch()
    archive = Archive(tmp_path / "archive", 0)
    archive.take_in(bundle, release(1), "fp32")
    assert not bundle.exists()
    assert archive.kept() == []


def test_for_room_the_needed_go_last_and_then_nothing_is_left_to_go(archive, kept):
    for version in (1, 2, 3):
        kept(version)
    assert archive.make_room(needed={release(1)})
    assert versions(archive) == [1]
    assert archive.make_room(needed={release(1)})
    assert versions(archive) == []
    assert not archive.make_room(needed={release(1)})


def test_what_is_no_bundle_does_not_stay(archive, kept):
    kept(1)
    for name in ("x@1.fp32.bundle", "-@0.fp32." + "0" * 64 + ".bundle", "notes"):
        (archive.folder / name).touch()
    (archive.folder / "folder").mkdir()
    archive.collect(needed=())
    assert [path.name for path in archive.folder.iterdir()] == [
        f"magika@1.fp32.{1:064x}.bundle"
    ]


def test_nothing_goes_while_all_fits(tmp_path):
    one = Kept(release(1), "0" * 64, tmp_path, 10)
    assert to_collect([one], (), budget_bytes=10) == []
    assert to_collect([one], (), budget_bytes=9) == [one]
