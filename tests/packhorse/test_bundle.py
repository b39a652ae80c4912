"""The bundle: the same bytes each time, and no byte that could lie."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.bundle import bundle_length_bytes, read_bundle, write_bundle
from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import MANIFEST_MAX_BYTES, encode_manifest
from tests.packhorse.samples import bundle, contents, manifest

BUNDLE = bundle()


def read(body, limit_bytes=1_000_000):
    reader = read_bundle(io.BytesIO(body), limit_bytes=limit_bytes)
    found = {m.name: b"".join(chunks) for m, chunks in reader.members()}
    return reader.manifest, found


def test_a_bundle_reads_back_what_was_written():
    assert read(BUNDLE) == (manifest(), contents())


def test_the_same_release_always_has_the_same_bundle():
    assert bundle() == BUNDLE


def test_the_length_is_known_before_a_byte_is_written():
    assert bundle_length_bytes(manifest()) == len(BUNDLE)


def test_any_tar_reads_it():
    with tarfile.open(fileobj=io.BytesIO(BUNDLE)) as archive:
        assert archive.getnames() == ["manifest.json", "model.onnx", "golden.npz"]


@given(st.integers(0, len(BUNDLE) - 1), st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_seen_in_the_manifest(position, bit):
    # The manifest has no hash of its own: TUF vouches for the bundle as a whole.
    body = bytearray(BUNDLE)
    body[position] ^= 1 << bit
    try:
        found, members = read(bytes(body))
    except MalformedError:
        return
    assert found != manifest()
    assert members == contents()


def test_a_manifest_with_a_space_too_much_is_refused():
    header = tarfile.TarInfo("manifest.json")
    document = encode_manifest(manifest()) + b" "
    header.size = len(document)
    body = header.tobuf(tarfile.USTAR_FORMAT) + document + bytes(1024)
    with pytest.raises(MalformedError, match="canonical"):
        read(body)


def test_a_header_without_a_length_is_refused():
    with pytest.raises(MalformedError, match="begin with"):
        read(bytes(512))


@given(st.integers(0, len(BUNDLE) - 1))
def test_any_cut_is_refused(length):
    with pytest.raises(MalformedError):
        read(BUNDLE[:length])


def test_anything_after_the_end_is_refused():
    with pytest.raises(MalformedError, match="goes on"):
        read(BUNDLE + b"\0")


def test_a_bundle_over_the_limit_is_refused_from_its_manifest_alone():
    with pytest.raises(LimitExceededError, match="may be 1000 bytes"):
        read_bundle(io.BytesIO(BUNDLE), limit_bytes=1000)


def test_a_manifest_over_its_limit_is_not_read():
    header = tarfile.TarInfo("manifest.json")
    header.size = MANIFEST_MAX_BYTES + 1
    body = header.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(LimitExceededError, match="manifest"):
        read(body)


def test_a_link_in_place_of_a_member_is_refused():
    link = tarfile.TarInfo("manifest.json")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    with pytest.raises(MalformedError, match="begin with"):
        read(link.tobuf(tarfile.USTAR_FORMAT))


def test_a_member_that_is_not_what_the_manifest_says_is_not_written():
    streams = {name: io.BytesIO(body[::-1]) for name, body in contents().items()}
    with pytest.raises(MalformedError, match="hash"):
        write_bundle(manifest(), streams, io.BytesIO())
