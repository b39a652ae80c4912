"""KServe's own REST client, by its first and its second protocol."""

import numpy as np
import pytest

from tests.edge_runtime.real_clients.samples import bfloats, each_type, rows, unpack
from tests.models import tiny_answer


@pytest.fixture(scope="module")
def seen(run_client, server):
    return run_client("use_kserve.py", server)


@pytest.fixture(scope="module")
def v1(seen):
    return seen["v1"]


@pytest.fixture(scope="module")
def v2(seen):
    return seen["v2"]


def test_health_and_readiness_are_told_by_both_protocols(v1, v2):
    assert (v1["live"], v1["ready"]) == (True, True)
    assert (v2["live"], v2["ready"], v2["model"]) == (True, True, True)
    assert v2["nobody"] is False


def test_instances_give_predictions(v1):
    predictions = v1["predict"]["predictions"]

    np.testing.assert_allclose(predictions, tiny_answer(rows(), 2), rtol=1e-5)


@pytest.mark.parametrize("way", ["json", "binary", "plain"])
def test_a_request_is_answered_however_its_tensor_is_written(v2, way):
    answer = unpack(v2[way]["y"])

    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, tiny_answer(rows(), 2), rtol=1e-5)


def test_an_id_comes_back(v2):
    assert v2["json"]["id"] == "number 7"


@pytest.mark.parametrize("way", ["types in json", "types in binary"])
def test_every_type_that_the_client_knows_goes_there_and_back(v2, way):
    for name, expected in each_type().items():
        array = unpack(v2[way][f"out_{name}"])
        assert array.dtype == expected.dtype
        assert array.tolist() == expected.tolist()


def test_bfloats_can_be_sent_as_bytes(v2):
    assert unpack(v2["bfloats"]["wide"]).tolist() == bfloats().tolist()


def test_no_rows_give_no_rows(v2):
    assert [unpack(answer["y"]).shape for answer in v2["nothing"]] == [(0, 3), (0, 3)]


def test_refusals_reach_the_client_as_sentences(v1, v2):
    assert v1["wrong"].startswith("a request needs the list 'instances'")
    assert v1["wrong"].endswith("'400 Bad Request'")
    assert v2["wrong"].startswith("input 'x': expected the shape")
    for refused in (v1["nobody"], v2["elsewhere"]):
        assert "came 'nobody'" in refused
        assert refused.endswith("'404 Not Found'")
