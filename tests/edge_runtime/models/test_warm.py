"""Before anybody asks, a model has run on this machine, and answered as it should."""

import ml_dtypes
import numpy as np
import pytest

from edge_runtime.errors import ModelError, SlotError
from edge_runtime.models.repository import StoredModel
from edge_runtime.models.warm import load_slot, load_stored
from edge_runtime.run_watch import RunWatch
from packhorse.manifest import GOLDEN_FILE
from tests import odd_models
from tests.edge_runtime.gateways import install
from tests.edge_runtime.repositories import golden, put
from tests.models import tiny_bundle, tiny_golden, tiny_model


@pytest.fixture
def store(tmp_path):
    def store(model, name="odd", version=1, **files):
        place = put(tmp_path, name, version, model, **files)
        return StoredModel(name, str(version), place)

    return store


def test_the_release_of_a_slot_is_proven_and_knows_where_it_is_from(tmp_path):
    slot = install(tmp_path, "a", tiny_bundle(3)[1])
    model = load_slot(slot, RunWatch(5.0))
    assert (model.name, model.version, model.source) == ("tiny", "3", "slot a")
    assert model.is_proven
    assert model.is_ready
    assert model.session.run(model.sample)["y"].shape == (1, 3)


def test_a_release_that_answers_its_samples_otherwise_is_refused(tmp_path):
    other = tiny_golden(tiny_model(2))
    slot = install(tmp_path, "a", tiny_bundle(1, golden=other)[1])
    with pytest.raises(ModelError, match="golden sample 0 of tiny@1: output 'y' diff"):
        load_slot(slot)


def test_a_model_of_the_directory_is_proven_where_it_has_samples(store):
    model = tiny_model()
    loaded = load_stored(store(model, golden=tiny_golden(model)))
    assert (loaded.name, loaded.version, loaded.is_proven) == ("odd", "1", True)


def test_a_model_without_samples_is_warm_and_not_proven(store):
    stored = store(tiny_model())
    loaded = load_stored(stored)
    assert not loaded.is_proven
    assert loaded.is_ready
    assert loaded.source == str(stored.path)
    assert loaded.sample["x"].tolist() == [[0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("datatype", sorted(odd_models.ONNX_TYPES))
def test_a_model_of_every_datatype_can_be_warmed_with_zeros(store, datatype):
    stored = store(odd_models.identity(datatype, ("n", 2)))
    model = load_stored(stored)
    assert model.session.run(model.sample)["y"].shape == (1, 2)


@pytest.mark.parametrize(
    ("datatype", "x"),
    [
        ("BYTES", np.array([["a", "é"], ["ccc", ""]])),
        ("BYTES", np.array([[b"a", "é".encode()], [b"ccc", b""]])),
        ("BF16", np.array([[1, 2.5], [3, -4]], ml_dtypes.bfloat16)),
        ("BOOL", np.array([[True, False]])),
        ("INT64", np.array([[2**63 - 1, -1]])),
        ("FP16", np.array([[1, 2]], np.float16)),
    ],
    ids=["text", "bytes", "BF16", "BOOL", "INT64", "FP16"],
)
def test_samples_of_every_datatype_prove_a_model(store, datatype, x):
    samples = golden({"x": x}, {"y": x})
    stored = store(odd_models.identity(datatype), golden=samples)
    assert load_stored(stored).is_proven


@pytest.mark.parametrize(
    ("datatype", "x", "y"),
    [
        ("BYTES", np.array([["a", "b"]]), np.array([["a", "c"]])),
        ("BF16", np.ones((1, 2), ml_dtypes.bfloat16), np.zeros((1, 2), "V2")),
    ],
    ids=["text", "BF16"],
)
def test_samples_of_every_datatype_are_compared(store, datatype, x, y):
    stored = store(odd_models.identity(datatype), golden=golden({"x": x}, {"y": y}))
    with pytest.raises(ModelError, match="golden sample 0 of odd@1: output 'y'"):
        load_stored(stored)


def test_samples_of_another_model_are_named(store):
    x = np.ones((1, 2), np.float32)
    stored = store(odd_models.identity(), golden=golden({"z": x}, {"y": x}))
    with pytest.raises(
        ModelError, match=r"expected golden inputs of odd@1 for \['x'\], came \['z'\]"
    ):
        load_stored(stored)


def test_samples_that_the_model_cannot_compute_are_named(store):
    samples = golden({"x": np.array([1, 99])}, {"y": np.ones(2, np.float32)})
    stored = store(odd_models.lookup(), golden=samples)
    with pytest.raises(ModelError, match="golden sample 1 of odd@1: the model failed"):
        load_stored(stored)


def test_samples_that_cannot_be_read_are_no_reason_to_do_without(store):
    stored = store(odd_models.identity())
    (stored.path / GOLDEN_FILE).write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"golden samples of odd@1: .* npz"):
        load_stored(stored)


def test_text_in_samples_that_is_not_utf_8_is_refused(store):
    x = np.array([[b"\xff", b"a"]])
    stored = store(odd_models.identity("BYTES"), golden=golden({"x": x}, {"y": x}))
    with pytest.raises(ModelError, match="golden text must be UTF-8"):
        load_stored(stored)


def test_a_model_that_fails_on_zeros_needs_samples(store):
    body = odd_models.lookup(rows=0)
    with pytest.raises(ModelError, match=r"has no golden\.npz beside it"):
        load_stored(store(body))


def test_an_input_that_no_request_could_send_is_refused(store):
    body = odd_models.identity("FP32", (100_000, 100_000))
    with pytest.raises(ModelError, match="input 'x' has 10000000000 elements"):
        load_stored(store(body))


def test_a_manifest_beside_a_model_is_believed_only_if_it_is_the_models(store):
    manifest, _ = tiny_bundle(1)
    model = tiny_model()
    whole = {"golden": tiny_golden(model), "manifest": manifest}
    assert load_stored(store(model, "tiny", 1, **whole)).is_proven
    with pytest.raises(ModelError, match="manifest of tiny@2, came that of tiny@1"):
        load_stored(store(model, "tiny", 2, **whole))
    with pytest.raises(SlotError, match=r"member model\.onnx should have SHA-256"):
        load_stored(store(tiny_model(5), "tiny", 1, **whole))


def test_a_manifest_that_cannot_be_read_is_no_reason_to_do_without(store):
    stored = store(tiny_model())
    (stored.path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ModelError, match="the manifest of odd@1 cannot be read"):
        load_stored(stored)


def test_a_manifest_that_names_other_tensors_is_refused(store):
    body = odd_models.identity("FP64")
    samples = tiny_golden(tiny_model())
    manifest, _ = tiny_bundle(1, model=body, golden=samples)
    stored = store(body, "tiny", 1, golden=samples, manifest=manifest)
    with pytest.raises(ModelError, match="the manifest names the inputs"):
        load_stored(stored)


def test_what_is_no_file_is_not_waited_for(tmp_path, store):
    stored = store(b"")
    (stored.path / "model.onnx").unlink()
    (stored.path / "model.onnx").mkdir()
    with pytest.raises(ModelError, match=r"model\.onnx must be a regular file"):
        load_stored(stored)
