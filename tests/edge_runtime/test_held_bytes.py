"""What an array keeps alive is counted, not what it shows."""

import numpy as np
import pytest

from edge_runtime.held_bytes import held_bytes
from edge_runtime.recent import BURST_S, KEPT_MAX_BYTES, RecentExchanges

BODY_BYTES = 1_000_000


@pytest.mark.parametrize(
    "body",
    [bytes(BODY_BYTES), bytearray(BODY_BYTES), np.zeros(BODY_BYTES, np.uint8)],
    ids=["bytes", "bytearray", "array"],
)
def test_a_tensor_keeps_the_whole_body_that_it_stood_in(body):
    tensor = np.ndarray((2, 2), np.float32, memoryview(body)[16:][:16])
    assert held_bytes(tensor) == BODY_BYTES
    assert held_bytes(tensor[:1]) == BODY_BYTES


def test_a_row_keeps_its_batch():
    assert held_bytes(np.zeros((100, 10))[3:4]) == 8000


def test_text_is_more_than_its_pointers():
    texts = np.array(["x" * 10_000] * 50, dtype=object)
    assert 500_000 < held_bytes(texts) < 510_000


def test_the_kept_requests_keep_no_long_bodies_alive():
    recent = RecentExchanges()
    length = KEPT_MAX_BYTES // 4
    for _ in range(10):
        view = memoryview(bytes(length))[8:12]
        recent.add({"x": np.ndarray((1,), np.float32, view)}, {}, at_s=1.0)
    assert len(recent.all()) == 4


def test_of_a_burst_of_long_bodies_the_first_are_kept():
    recent = RecentExchanges()
    for number in range(100):
        body = np.zeros(KEPT_MAX_BYTES // 4, np.uint8)
        recent.add({"x": body}, {}, at_s=1.0 + number / 1000)
    assert [one.at_s for one in recent.all()] == [1.001, 1.002, 1.003, 1.004]

    recent.add({"x": np.zeros(1)}, {}, at_s=1.5)
    assert len(recent.all()) == 4

    recent.add({"x": np.zeros(1)}, {}, at_s=1.002 + BURST_S)
    assert [one.at_s for one in recent.all()][-1] == 1.002 + BURST_S


def test_short_bodies_after_a_burst_of_long_ones_are_kept():
    recent = RecentExchanges()
    for _ in range(5):
        recent.add({"x": np.zeros(KEPT_MAX_BYTES // 4, np.uint8)}, {}, at_s=1.0)
    for number in range(10):
        recent.add({"x": np.zeros(1)}, {}, at_s=10.0 + number / 1000)
    assert len(recent.all()) == 3 + 10
