"""Bundles come whole or not at all, and not twice."""

import errno
import hashlib
import os

import pytest

from edge_runtime.agent import pull
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.pull import Downloads
from packhorse.assignment import BundleRef
from packhorse.errors import UntrustedError
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.full_disk import files_end_at

BODY = os.urandom(300_000)


@pytest.fixture
def bundle(repository):
    return repository.publish_bundle(release(1), BODY)


@pytest.fixture
def downloads(tmp_path, server):
    return Downloads(tmp_path / "downloads", server.url, Web())


def test_a_bundle_is_pulled_whole(downloads, bundle):
    assert downloads.pull(bundle).read_bytes() == BODY
    assert [path.name for path in downloads.folder.iterdir()] == [
        f"{bundle.sha256}.bundle"
    ]


def test_a_bundle_at_hand_is_not_asked_for_again(downloads, bundle, server):
    downloads.pull(bundle)
    downloads.pull(bundle)
    assert len(server.bundle_requests()) == 1


def test_a_download_that_breaks_off_is_resumed_where_it_ended(
    downloads, bundle, server
):
    server.faults.cut_after = 120_000
    with pytest.raises(UnavailableError):
        downloads.pull(bundle)
    server.faults.cut_after = None

    assert downloads.pull(bundle).read_bytes() == BODY
    first, second = server.bundle_requests()
    assert (first, second) == ("", "bytes=120000-")


def test_a_download_that_keeps_breaking_off_still_ends(downloads, bundle, server):
    server.faults.cut_after = 70_000
    for _ in range(4):
        with pytest.raises(UnavailableError):
            downloads.pull(bundle)

    assert downloads.pull(bundle).read_bytes() == BODY


def test_a_server_without_ranges_sends_it_all_again(downloads, bundle, server):
    server.faults.cut_after = 120_000
    with pytest.raises(UnavailableError):
        downloads.pull(bundle)
    server.faults.cut_after = None
    server.faults.ignore_range = True

    assert downloads.pull(bundle).read_bytes() == BODY


def test_a_tampered_bundle_is_thrown_away(downloads, bundle, server):
    server.faults.tamper = True
    with pytest.raises(UntrustedError, match="the repository sent SHA-256"):
        downloads.pull(bundle)
    server.faults.tamper = False

    assert downloads.pull(bundle).read_bytes() == BODY
    assert server.bundle_requests() == ["", ""]


def test_a_bundle_longer_than_it_was_vouched_for_is_cut_off(
    downloads, bundle, repository
):
    short = BundleRef(bundle.target, bundle.length_bytes - 10, bundle.sha256)
    with pytest.raises(UntrustedError, match="more bytes"):
        downloads.pull(short)


def test_bytes_that_a_power_cut_took_are_noticed(downloads, bundle, server):
    server.faults.cut_after = 120_000
    with pytest.raises(UnavailableError):
        downloads.pull(bundle)
    server.faults.cut_after = None
    part = downloads.folder / f"{bundle.sha256}.part"
    with part.open("r+b") as file:
        file.write(bytes(1000))

    with pytest.raises(UntrustedError):
        downloads.pull(bundle)
    assert downloads.pull(bundle).read_bytes() == BODY


@pytest.mark.parametrize("note", [b"", b"nonsense", b"-5", b"999999999"])
def test_a_note_that_cannot_be_right_starts_from_the_front(downloads, bundle, note):
    downloads.folder.mkdir()
    (downloads.folder / f"{bundle.sha256}.part").write_bytes(bytes(len(BODY)))
    (downloads.folder / f"{bundle.sha256}.filled").write_bytes(note)

    assert downloads.pull(bundle).read_bytes() == BODY


def test_a_download_killed_before_its_last_rename_asks_for_nothing(
    downloads, bundle, server
):
    downloads.folder.mkdir()
    (downloads.folder / f"{bundle.sha256}.part").write_bytes(BODY)
    (downloads.folder / f"{bundle.sha256}.filled").write_text(str(len(BODY)))

    assert downloads.pull(bundle).read_bytes() == BODY
    assert server.bundle_requests() == []


def test_a_disk_that_is_too_small_says_so_before_the_first_byte(downloads, server):
    huge = BundleRef("bundles/magika/1/fp32.tar", pull.BUNDLE_MAX_BYTES, "a" * 64)
    with (
        files_end_at(1_000_000),
        pytest.raises(OSError, match=r"too large|No space") as caught,
    ):
        downloads.pull(huge)

    assert caught.value.errno in {errno.ENOSPC, errno.EFBIG}
    assert server.bundle_requests() == []


def test_what_was_begun_for_another_release_is_removed(downloads, bundle, server):
    downloads.folder.mkdir()
    (downloads.folder / ("b" * 64 + ".part")).write_bytes(b"old")

    downloads.pull(bundle)

    assert len(list(downloads.folder.iterdir())) == 1


def test_a_missing_bundle_is_a_reason_to_come_back(downloads):
    digest = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(UnavailableError, match="answered 404"):
        downloads.pull(BundleRef("bundles/magika/9/fp32.tar", 1, digest))


def test_a_bundle_over_the_limit_is_not_asked_for(downloads, server):
    bundle = BundleRef("bundles/magika/1/fp32.tar", pull.BUNDLE_MAX_BYTES + 1, "a" * 64)
    with pytest.raises(UntrustedError, match="a bundle may have"):
        downloads.pull(bundle)
    assert server.requests == []


def test_a_disk_with_little_room_keeps_it_for_the_rest(downloads, server, monkeypatch):
    disk = os.statvfs(downloads.folder.parent)
    free_bytes = disk.f_bavail * disk.f_frsize
    bundle = BundleRef("bundles/magika/1/fp32.tar", 1000, "a" * 64)
    monkeypatch.setattr(pull, "FREE_MIN_BYTES", free_bytes * 2)
    with pytest.raises(OSError, match="are kept for the rest") as caught:
        downloads.pull(bundle)
    assert caught.value.errno == errno.ENOSPC
    assert list(downloads.folder.iterdir()) == []


def test_space_that_was_not_enough_is_given_back(downloads, server):
    bundle = BundleRef("bundles/magika/1/fp32.tar", 50_000_000, "a" * 64)
    with files_end_at(1_000_000), pytest.raises(OSError, match=r"too large|No space"):
        downloads.pull(bundle)
    assert list(downloads.folder.iterdir()) == []
