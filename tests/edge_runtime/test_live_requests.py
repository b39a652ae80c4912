"""A file of live requests: every datatype, for its owner alone, and gone at once."""

import io
import stat

import numpy as np
import pytest

from edge_runtime.live_requests import (
    encode_request,
    read_requests,
    take_frames,
    write_frames,
)
from edge_runtime.recent import KEPT, SAVED_MAX_BYTES, RecentExchanges, join_saved
from packhorse.inference.datatypes import numpy_type
from tests.odd_models import ONNX_TYPES


def tensor(datatype):
    if datatype == "BYTES":
        return np.array([["a", "grüß"], ["", "\N{HORSE}"]], object)
    return np.array([[0, 1], [1, 0]]).astype(numpy_type(datatype))


def written(path, *frames):
    write_frames(path, frames)
    return path.read_bytes()


@pytest.mark.parametrize("datatype", sorted(ONNX_TYPES))
def test_a_request_of_any_datatype_reads_back_the_same(tmp_path, datatype):
    array = tensor(datatype)
    scalar = array[0, 0] if datatype == "BYTES" else array[0, 0].copy()
    sides = ({"x": array, "s": np.array(scalar, array.dtype)}, {"y": array[1:]})

    body = written(tmp_path / "r", encode_request(1, *sides))

    (found,) = read_requests(io.BytesIO(body))
    for side, got in zip(sides, (found.inputs, found.outputs), strict=True):
        assert got.keys() == side.keys()
        for name, one in side.items():
            assert got[name].dtype == one.dtype
            assert got[name].shape == one.shape
            assert (got[name] == one).all()


def test_nan_is_kept(tmp_path):
    body = written(
        tmp_path / "r", encode_request(1, {}, {"y": np.array([np.nan, np.inf], "f")})
    )
    assert np.isnan(read_requests(io.BytesIO(body))[0].outputs["y"][0])


def test_a_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "r"
    path.write_bytes(b"what was there before")
    path.chmod(0o666)
    write_frames(path, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b""


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "r").symlink_to(tmp_path / "target")
    write_frames(tmp_path / "r", [encode_request(1, {}, {})])
    assert (tmp_path / "target").read_bytes() == b""


def test_what_is_taken_is_gone(tmp_path):
    written(tmp_path / "r", encode_request(1, {}, {}))
    assert [frame.noted_us for frame in take_frames(tmp_path / "r")] == [1]
    assert take_frames(tmp_path / "r") == []


def test_what_cannot_be_said_is_left_out():
    assert encode_request(1, {"x": np.zeros(1, np.complex64)}, {}) is None


GOOD = {"x": np.ones((1, 2), np.float32)}


@pytest.mark.parametrize("cut", [1, 9, 30, 60])
def test_what_is_cut_short_is_left_out(tmp_path, cut):
    frames = [encode_request(k, GOOD, GOOD) for k in (1, 2)]
    body = written(tmp_path / "r", *frames)
    assert len(read_requests(io.BytesIO(body[:-cut]))) == 1


def test_nonsense_is_no_reason_to_refuse_a_release():
    generator = np.random.default_rng(3)
    for length in (0, 5, 17, 400):
        assert read_requests(io.BytesIO(generator.bytes(length))) == []


def test_changed_bytes_raise_nothing(tmp_path):
    body = written(tmp_path / "r", encode_request(1, GOOD, GOOD))
    generator = np.random.default_rng(5)
    for _ in range(500):
        broken = bytearray(body)
        broken[generator.integers(len(body))] = generator.integers(256)
        read_requests(io.BytesIO(bytes(broken)))


def kept(*arrays):
    recent = RecentExchanges()
    for number, array in enumerate(arrays):
        recent.add({"x": array}, {"y": array}, at_s=float(number))
    return recent


def requests_in(path):
    with path.open("rb") as file:
        return [float(r.inputs["x"].flat[0]) for r in read_requests(file)]


def test_only_what_came_since_is_saved(tmp_path):
    recent = kept(np.array([1.0]), np.array([2.0]))
    first = recent.save(tmp_path / "r")
    recent.add({"x": np.array([3.0])}, {}, at_s=9.0)

    second = recent.save(tmp_path / "r", after_us=first.last_us)

    assert (first.count, second.count) == (2, 1)
    assert requests_in(tmp_path / "r") == [3.0]
    assert recent.save(tmp_path / "s", after_us=second.last_us).count == 0
    assert not (tmp_path / "s").exists()


def test_of_much_the_newest_is_saved(tmp_path):
    half = SAVED_MAX_BYTES // 2 // 8 // 2
    recent = kept(*(np.full(half, float(k)) for k in range(5)))
    assert recent.save(tmp_path / "r").count == 2
    assert requests_in(tmp_path / "r") == [3.0, 4.0]


def test_one_is_saved_however_large(tmp_path):
    large = np.zeros(SAVED_MAX_BYTES // 8, np.float64)
    assert kept(large).save(tmp_path / "r").count == 1


def test_what_several_processes_saved_becomes_one_file(tmp_path):
    paths = [tmp_path / f"r{k}" for k in range(3)]
    for path in paths[:2]:
        kept(*(np.array([float(k)]) for k in range(KEPT))).save(path)

    saved = join_saved(paths[0], paths[1:], after_us=0)

    assert saved.count == KEPT
    assert len(requests_in(paths[0])) == KEPT
    assert [path.name for path in tmp_path.iterdir()] == ["r0"]
