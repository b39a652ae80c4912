"""Records as lines for people."""

import numpy as np
import pytest

from edge_runtime.prediction_log.lines import text_line
from tests.edge_runtime.prediction_log.entries import entry, read, write


@pytest.fixture
def line(directory):
    def show(**changes):
        write(directory, entry("", at_s=0.0, **changes))
        return text_line(read(directory)[-1])

    return show


def test_a_request_without_an_answer_shows_none(line):
    shown = line(outcome="model_failed", outputs={})
    assert shown.endswith(
        "  model_failed  queue 0.01 ms  compute 0.2 ms  x FP32[1,2] 1…2 → nothing"
    )


def test_of_many_tensors_three_are_named(line):
    inputs = {name: np.zeros((), np.int64) for name in "abcde"}
    shown = "a INT64[] 0…0, b INT64[] 0…0, c INT64[] 0…0, 2 more →"
    assert shown in line(inputs=inputs)


def test_texts_and_tensors_without_numbers_show_their_shape(line):
    inputs = {"t": np.array(["x"], dtype=object), "n": np.zeros((0, 2), np.float32)}
    assert "t BYTES[1], n FP32[0,2] →" in line(inputs=inputs)


def test_each_row_of_scores_shows_its_top_class(line):
    outputs = {"y": np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)}
    assert line(outputs=outputs).endswith("y FP32[2,2] top 1: 0.9, 0: 0.8")
