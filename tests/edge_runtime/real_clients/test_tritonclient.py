"""Triton's own HTTP clients, sync and async, as they are installed."""

import numpy as np
import pytest

from tests.edge_runtime.real_clients.repository import CONSTANT
from tests.edge_runtime.real_clients.samples import (
    bfloats,
    each_type,
    odd_numbers,
    rows,
    unpack,
)
from tests.models import tiny_answer

MODELS = ["bfloats", "constant", "pair", "scalar", "tiny", "tiny", "twice", "types"]


@pytest.fixture(scope="module")
def seen(run_client, server):
    """What the sync client saw, by step."""
    return run_client("use_tritonclient.py", server)


@pytest.fixture(scope="module")
def seen_async(run_client, server):
    """What the asyncio client saw."""
    return run_client("use_tritonclient_aio.py", server)


def assert_same(packed, expected):
    """Compare what a client read with what was computed here, bit by bit."""
    array = unpack(packed)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    if array.dtype == np.object_:
        assert array.tolist() == expected.tolist()
    else:
        assert array.tobytes() == expected.tobytes()


def assert_every_type(packed):
    arrays = each_type()
    assert set(packed) == {f"out_{name}" for name in arrays}
    for name, expected in arrays.items():
        assert_same(packed[f"out_{name}"], expected)


def test_nothing_broke(seen):
    assert not {name: s for name, s in seen.items() if "broke" in s}


def test_health_and_readiness_are_told(seen):
    assert seen["health"] == {
        "live": True,
        "ready": True,
        "tiny": True,
        "tiny 1": True,
        "tiny 9": False,
        "nobody": False,
    }


def test_server_metadata_names_the_extensions_that_are_served(seen):
    metadata = seen["server_metadata"]

    assert metadata["name"] == "packhorse-edge-runtime"
    assert {
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    } <= set(metadata["extensions"])


def test_model_metadata_names_versions_and_tensors(seen):
    latest, first, types = seen["model_metadata"]

    assert (latest["name"], sorted(latest["versions"])) == ("tiny", ["1", "2"])
    assert latest["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert first["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
    assert {t["datatype"] for t in types["inputs"]} == set(each_type())


def test_a_configuration_is_one_to_tritons_own_message(seen):
    config = seen["model_config"]

    assert config["tiny"]["name"] == "tiny"
    assert config["tiny"]["instanceGroup"][0]["kind"] == "KIND_CPU"
    kinds = {each["dataType"] for each in config["types"]["input"]}
    assert "TYPE_STRING" in kinds
    assert "TYPE_UINT64" in kinds
    assert seen["config_of_version"] == {"specific": {"versions": [1]}}


def test_statistics_count_rows_runs_and_failures(seen):
    before, after = seen["statistics"]["before"], seen["statistics"]["after"]

    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_count"] - before["inference_count"] == 1
    for key in ("success", "fail"):
        counts = [s["inference_stats"][key]["count"] for s in (before, after)]
        assert counts[1] - counts[0] == 1, key
    assert after["inference_stats"]["compute_infer"]["ns"] > 0
    assert after["last_inference"] >= before["last_inference"]


def test_statistics_are_told_of_all_models_or_of_all_versions_of_one(seen):
    told = seen["statistics_of_all"]

    assert [name for name, _ in told["every"]] == MODELS
    assert sorted(told["tiny"]) == ["1", "2"]


def test_the_repository_is_listed(seen):
    index = seen["repository_index"]

    assert sorted(each["name"] for each in index) == MODELS
    assert {each["state"] for each in index} == {"READY"}


@pytest.mark.parametrize("step", ["load", "unload"])
def test_loading_and_unloading_are_refused_unless_allowed(seen, step):
    assert seen[step]["refused"].startswith("[403] ")


@pytest.mark.parametrize(
    "step", ["types_in_binary", "types_in_json", "mixed_in_and_out"]
)
def test_every_type_goes_there_and_back_unchanged(seen, step):
    assert_every_type(seen[step])


def test_bfloats_go_there_in_binary_and_come_back_either_way(seen):
    for answer in seen["bfloats_both_ways"]:
        assert_same(answer["same"], bfloats())
        assert_same(answer["wide"], bfloats().astype(np.float32))


def test_nan_infinities_and_empty_tensors_survive_in_binary(seen):
    answer = seen["odd_numbers_and_empty_tensors"]

    assert_same(answer.pop("out_FP32"), odd_numbers())
    assert {tuple(packed["shape"]) for packed in answer.values()} == {(0,)}


def test_only_the_outputs_that_were_asked_for_come_back(seen):
    (output,) = seen["requested_outputs"]["outputs"]

    assert (output["name"], output["parameters"]) == (
        "difference",
        {"binary_data_size": 16},
    )


def test_integers_keep_every_digit_in_json(seen):
    answer = seen["pair_in_json"]

    assert unpack(answer["sum"]).tolist() == [[2**53 + 3, -1]]
    assert unpack(answer["difference"]).tolist() == [[2**53 - 1, -(2**63) + 1]]


def test_a_scalar_has_no_axes(seen):
    for answer in seen["scalar"]:
        assert_same(answer["y"], np.array(2 / 3))


def test_a_model_without_inputs_answers(seen):
    assert_same(seen["constant"]["y"], CONSTANT)


def test_texts_go_there_and_back(seen):
    for answer in seen["texts"]:
        texts = [text.decode() for text in unpack(answer["twice"])]
        assert texts == ["aa", "üü", ""]


def test_the_latest_version_answers_where_none_is_named(seen):
    for answer, version in zip(seen["versions"], (2, 1, 2), strict=True):
        expected = tiny_answer(rows(), version)
        np.testing.assert_allclose(unpack(answer["y"]), expected, rtol=1e-5)


def test_an_id_comes_back_and_parameters_are_taken(seen):
    answer = seen["id_and_parameters"]

    assert answer["response"]["id"] == "number 7"
    assert answer["response"]["model_version"] == "2"
    np.testing.assert_allclose(unpack(answer["y"]), tiny_answer(rows(), 2), rtol=1e-5)


def test_requests_and_answers_may_be_compressed_in_every_way(seen):
    answers = seen["compressed"]
    plain = answers["None None True"]

    assert len(answers) == 18
    assert all(answer == plain for answer in answers.values())
    expected = tiny_answer(rows(500), 2)
    np.testing.assert_allclose(unpack(plain["y"]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("metadata_of_nobody", "[404] "),
        ("infer_of_nobody", "[404] "),
        ("wrong_datatype", "[400] input 'x': expected the datatype FP32, came 'FP64'"),
        ("refused_while_compressed", "[400] input 'x': expected the shape"),
        ("refused_later", "[400] input 'x' is missing"),
        ("shared_memory", "[501] tensors are taken from the request's body"),
        ("trace_settings", "[501] traces"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(seen, step, words):
    assert seen[step]["refused"].startswith(words)


def assert_each_has_its_own(answers):
    assert [request_id for request_id, _ in answers] == [str(n) for n in range(16)]
    for seed, (_, packed) in enumerate(answers):
        expected = tiny_answer(rows(1, seed), 2)
        np.testing.assert_allclose(unpack(packed), expected, rtol=1e-4, atol=1e-6)


def test_of_many_requests_at_once_each_gets_its_own_answer(seen, seen_async):
    assert_each_has_its_own(seen["many_at_once"])
    assert_each_has_its_own(seen_async["many"])


def test_bodies_that_the_client_writes_may_be_carried_as_vertex_ai_does(seen):
    answer = unpack(seen["own_transport"]["y"])

    np.testing.assert_allclose(answer, tiny_answer(rows(), 2), rtol=1e-5)


def test_the_asyncio_client_sees_what_the_other_sees(seen, seen_async):
    assert seen_async["health"] == [True, True]
    assert seen_async["ready"] == [True, False]
    assert seen_async["server"] == seen["server_metadata"]
    assert seen_async["model"] == seen["model_metadata"][0]
    assert seen_async["config"]["name"] == "tiny"
    assert seen_async["statistics"]["model_stats"][0]["version"] == "1"
    assert seen_async["index"] == seen["repository_index"]


def test_the_asyncio_client_infers(seen, seen_async):
    assert_every_type(seen_async["types"])
    plain = seen["compressed"]["None None True"]
    assert seen_async["compressed"] == [plain, plain]


def test_the_asyncio_client_is_refused_with_a_sentence(seen_async):
    assert seen_async["wrong"].startswith("[400] input 'x': expected the shape")
    assert seen_async["load"].startswith("[403] ")
    assert seen_async["unload"].startswith("[403] ")
