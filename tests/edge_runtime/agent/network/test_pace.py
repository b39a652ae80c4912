"""A download is held back to its pace."""

import time

from edge_runtime.agent.network.pace import Pace


def test_bytes_come_no_faster_than_the_pace():
    begun_s = time.monotonic()
    body = b"".join(Pace(100_000).hold_back(iter([b"x" * 30_000] * 2)))
    assert len(body) == 60_000
    assert 0.58 <= time.monotonic() - begun_s < 5


def test_no_burst_is_longer_than_a_quarter_of_a_second():
    pieces = list(Pace(1000, sleep=lambda _: None).hold_back(iter([bytes(600)])))
    assert [len(piece) for piece in pieces] == [250, 250, 100]


def test_silence_is_not_made_up_for():
    clock = [0.0]
    slept = []

    def sleep(time_s):
        slept.append(time_s)
        clock[0] += time_s

    def chunks():
        yield bytes(100)
        clock[0] += 60
        yield bytes(100)

    list(Pace(1000, sleep=sleep, clock=lambda: clock[0]).hold_back(chunks()))
    assert [round(time_s, 3) for time_s in slept] == [0.1, 0.1]


def test_without_a_pace_chunks_pass_as_they_come():
    chunks = [b"one", b"two"]
    assert list(Pace().hold_back(iter(chunks))) == chunks
