"""Triton's client loads and unloads models where a setting allows it."""

import pytest


@pytest.fixture(scope="module")
def seen(run_client, serve_models):
    server = serve_models(PACKHORSE_ALLOW_LOAD="1")
    return run_client("use_tritonclient_load.py", server)


def test_an_unloaded_model_stays_in_the_index_and_answers_no_more(seen):
    assert seen["unload"]["ready"] is False
    assert seen["unload"]["states"]["tiny@1"] == "UNAVAILABLE"
    assert seen["unload"]["states"]["types@1"] == "READY"
    assert seen["infer_unloaded"]["refused"].startswith("[404] ")


def test_a_model_is_loaded_with_all_its_versions(seen):
    assert seen["load"]["ready"] == [True, True, True]
    assert seen["load"]["states"]["tiny@1"] == "READY"


def test_a_model_may_be_loaded_again(seen):
    assert seen["load_again"] is True


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("load_nobody", "[404] "),
        ("unload_nobody", "[404] "),
        ("load_with_config", "[400] a model is loaded as it lies in its directory"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_a_sentence(seen, step, words):
    assert seen[step]["refused"].startswith(words)
