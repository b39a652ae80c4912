"""A body of known length lands in its own memory, and what follows it does not."""

import pytest

from edge_runtime.http.sized_body import SPARE_BYTES, STEP_BYTES, SizedBody


def receive(body, came):
    """Write bytes into the room as the kernel does; return what was left of them."""
    early = b""
    while came and not body.is_whole:
        room = body.room()
        count = min(len(room), len(came))
        room[:count] = came[:count]
        early = bytes(body.received(count))
        came = came[count:]
    return early + came


def test_a_body_that_ends_where_the_bytes_end_does_not_fill_its_room():
    body = SizedBody(1000, memoryview(b"x" * 100), 0)
    assert len(body.room()) == 900 + SPARE_BYTES
    assert receive(body, b"y" * 900) == b""
    assert body.is_whole
    assert bytes(body.body) == b"x" * 100 + b"y" * 900


@pytest.mark.parametrize(
    "length", [1, 1000, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1]
)
@pytest.mark.parametrize("beyond", [0, 1, 2, 50])
def test_what_follows_a_body_is_handed_back(length, beyond):
    body = SizedBody(length, memoryview(b""), 0)
    assert receive(body, b"b" * length + b"n" * beyond) == b"n" * beyond
    assert body.is_whole
    assert bytes(body.body) == b"b" * length
