"""Golden samples: what an archive may hold, and when outputs agree with them."""

import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.golden import (
    GoldenSamples,
    check_golden,
    read_golden,
    write_golden,
)
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.layout import TEXTS_MAX
from packhorse.manifest import TensorSpec
from tests.packhorse.samples import golden

INPUTS = (TensorSpec("x", "FP32", (-1, 2)),)
OUTPUTS = (TensorSpec("y", "FP32", (-1, 2)),)


def archive(**arrays):
    out = io.BytesIO()
    np.savez(out, **{name.replace("__", "."): a for name, a in arrays.items()})
    return out.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return out.getvalue()


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_samples_read_back_the_same():
    found = read_golden(io.BytesIO(write_golden(golden())))
    assert found.count == 3
    np.testing.assert_array_equal(found.inputs["x"], golden().inputs["x"])
    np.testing.assert_array_equal(found.outputs["y"], golden().outputs["y"])


def test_the_same_samples_are_always_written_alike():
    assert write_golden(golden()) == write_golden(golden())


def test_what_numpy_saves_is_read_compressed_or_not():
    x, y = golden().inputs["x"], golden().outputs["y"]
    out = io.BytesIO()
    np.savez_compressed(out, **{"input.x": x, "output.y": y})
    assert read_golden(io.BytesIO(out.getvalue())).count == 3
    assert read_golden(io.BytesIO(archive(input__x=x, output__y=y))).count == 3


def test_one_sample_keeps_its_batch_axis():
    assert golden().sample_inputs(1)["x"].shape == (1, 2)


def test_pickled_objects_are_never_loaded():
    evil = np.array([{"a": 1}], dtype=object)
    body = archive(input__x=evil, output__y=evil)
    with pytest.raises(MalformedError, match="Python objects"):
        read_golden(io.BytesIO(body))


@pytest.mark.parametrize(
    "body",
    [b"", b"not a zip", write_golden(golden())[:-30], zipped({"input.x.npy": b"x"})],
    ids=["empty", "garbage", "cut", "no npy"],
)
def test_what_is_no_archive_is_refused(body):
    with pytest.raises(MalformedError):
        read_golden(io.BytesIO(body))


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused():
    bomb = zipped({"input.x.npy": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(LimitExceededError, match="unpack"):
        read_golden(io.BytesIO(bomb), limit_bytes=1_000_000)


def test_an_archive_longer_than_the_limit_is_refused():
    with pytest.raises(LimitExceededError, match="long"):
        read_golden(io.BytesIO(bytes(101)), limit_bytes=100)


def test_an_array_that_declares_more_than_it_holds_is_refused():
    body = npy(np.zeros((1, 2), dtype=np.float32)).replace(b"(1, 2)", b"(9, 9)")
    with pytest.raises(MalformedError, match="as long as it says"):
        read_golden(io.BytesIO(zipped({"input.x.npy": body, "output.y.npy": body})))


def test_an_entry_that_lies_about_its_length_is_refused():
    body = bytearray(zipped({"input.x.npy": npy(np.zeros((1, 2)))}))
    at = body.rindex(b"PK\x01\x02") + 24
    body[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(MalformedError):
        read_golden(io.BytesIO(bytes(body)))


COMPRESSED = io.BytesIO()
np.savez_compressed(
    COMPRESSED, **{"input.x": golden().inputs["x"], "output.y": golden().outputs["y"]}
)


@given(
    st.sampled_from([COMPRESSED.getvalue(), write_golden(golden())]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
)
def test_changed_bytes_never_raise_anything_of_zipfile_or_numpy(body, changes):
    broken = bytearray(body)
    for position, value in changes:
        broken[position % len(broken)] = value
    with contextlib.suppress(MalformedError):
        read_golden(io.BytesIO(bytes(broken)))


def test_too_many_arrays_are_refused():
    many = {f"input.{i}.npy": npy(np.zeros(1)) for i in range(65)}
    with pytest.raises(LimitExceededError, match="64 arrays"):
        read_golden(io.BytesIO(zipped(many)))


def test_the_second_version_of_npy_is_read_too():
    out = io.BytesIO()
    np.lib.format.write_array(out, np.zeros((1, 2)), version=(2, 0))
    members = {"input.x.npy": out.getvalue(), "output.y.npy": out.getvalue()}
    assert read_golden(io.BytesIO(zipped(members))).count == 1


def test_an_entry_that_declares_more_than_it_holds_is_refused():
    whole = zipped({"input.x.npy": npy(np.zeros((1, 2)))})
    body = bytearray(whole)
    for magic, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = body.rindex(magic) + offset
        body[at : at + 4] = (5000).to_bytes(4, "little")
    with pytest.raises(MalformedError):
        read_golden(io.BytesIO(bytes(body)))


@pytest.mark.parametrize("name", ["x.npy", "input.x.txt", "../input.x.npy"])
def test_arrays_with_other_names_are_refused(name):
    with pytest.raises(MalformedError, match=r"input\.<name>"):
        read_golden(io.BytesIO(zipped({name: npy(np.zeros(1))})))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({}, {"y": np.zeros(1)}),
        ({"x": np.zeros(2)}, {"y": np.zeros(3)}),
        ({"x": np.zeros(())}, {"y": np.zeros(())}),
        ({"x": np.zeros(2000)}, {"y": np.zeros(2000)}),
    ],
    ids=["no input", "different counts", "no sample axis", "too many"],
)
def test_samples_that_cannot_belong_together_are_refused(inputs, outputs):
    with pytest.raises(MalformedError):
        GoldenSamples(inputs=inputs, outputs=outputs)


def test_samples_of_this_model_pass():
    check_golden(golden(), INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ((TensorSpec("z", "FP32", (-1, 2)),), r"\['z'\], not \['x'\]"),
        ((TensorSpec("x", "INT32", (-1, 2)),), "must be INT32, not float32"),
        ((TensorSpec("x", "BYTES", (-1, 2)),), "must be BYTES"),
        ((TensorSpec("x", "FP32", (-1, 3)),), r"\(samples, 3\)"),
        ((TensorSpec("x", "FP32", (-1, 2, -1)),), r"\(samples, 2, any\)"),
    ],
    ids=["name", "datatype", "strings", "shape", "rank"],
)
def test_samples_of_another_model_are_refused_by_tensor(inputs, word):
    with pytest.raises(MalformedError, match=word):
        check_golden(golden(), inputs, OUTPUTS)


def test_golden_outputs_are_finite():
    x = golden().inputs["x"]
    with pytest.raises(MalformedError, match="NaN or infinity"):
        check_golden(GoldenSamples({"x": x}, {"y": x * np.nan}), INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    "texts",
    [
        np.array([["a", "grüß"], ["", "b"]], object),
        np.array([["a", "grüß"], ["", "b"]], str),
        np.array([["a", "grüß".encode()], ["", "b"]], "S6"),
    ],
    ids=["objects", "text", "bytes"],
)
def test_text_becomes_what_the_model_takes(texts):
    specs = (TensorSpec("t", "BYTES", (-1, 2)),)
    body = write_golden(GoldenSamples({"t": texts}, {"t": texts}))

    found = check_golden(read_golden(io.BytesIO(body)), specs, specs)

    assert found.inputs["t"].dtype == object
    assert found.inputs["t"].tolist() == [["a", "grüß"], ["", "b"]]


def test_bf16_becomes_what_the_model_takes():
    specs = (TensorSpec("h", "BF16", (-1,)),)
    halves = np.array([1.5, -2.0]).astype(numpy_type("BF16"))
    body = write_golden(GoldenSamples({"h": halves}, {"h": halves}))

    found = check_golden(read_golden(io.BytesIO(body)), specs, specs)

    assert found.outputs["h"].dtype == halves.dtype
    assert found.outputs["h"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    "texts",
    [
        np.array([b"\xff"]),
        np.array(["\ud800"]),
        np.frombuffer((0x110000).to_bytes(4, "little"), "<U1"),
    ],
    ids=["no utf-8", "half a surrogate", "beyond unicode"],
)
def test_text_that_is_none_is_refused(texts):
    specs = (TensorSpec("t", "BYTES", (-1,)),)
    with pytest.raises(MalformedError, match="golden text must be UTF-8"):
        check_golden(GoldenSamples({"t": texts}, {"t": texts}), specs, specs)


def test_text_that_an_archive_cannot_hold_is_not_written():
    texts = np.array(["a\0"], object)
    with pytest.raises(MalformedError, match="zero character"):
        write_golden(GoldenSamples({"t": texts}, {"t": texts}))


def test_too_much_text_is_refused():
    texts = np.full((1, TEXTS_MAX + 1), "", "U1")
    specs = (TensorSpec("t", "BYTES", (-1, -1)),)
    with pytest.raises(LimitExceededError, match="golden text may have"):
        check_golden(GoldenSamples({"t": texts}, {"t": texts}), specs, specs)
