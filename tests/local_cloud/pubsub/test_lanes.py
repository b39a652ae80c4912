"""How fast an endpoint is asked, by how it has answered."""

from local_cloud.pubsub.lanes import WINDOW_MAX, Lane

NOW = 1_800_000_000.0


def begin(lane):
    lane.under_way += 1


def fail(lane, at):
    begin(lane)
    lane.fail(begun_at=at, now=at)
    return lane.resumes_at - at


def test_successes_open_the_window_up_to_its_limit():
    lane = Lane()
    widths = []
    for _ in range(6):
        begin(lane)
        lane.succeed()
        widths.append(lane.room())

    assert widths == [2, 4, 8, 16, WINDOW_MAX, WINDOW_MAX]


def test_pauses_double_up_to_the_limit():
    lane = Lane(pause_max_s=1.0)

    pauses_s = [round(fail(lane, NOW + 10 * n), 3) for n in range(6)]

    assert pauses_s == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_failures_of_requests_that_were_under_way_together_are_one():
    lane = Lane(window=16)
    for _ in range(16):
        begin(lane)

    for number in range(16):
        lane.fail(begun_at=NOW, now=NOW + 1 + number / 100)

    assert lane.under_way == 0
    assert lane.failures == 1
    assert round(lane.resumes_at - NOW, 3) == 1.1


def test_a_success_ends_the_series():
    lane = Lane()
    fail(lane, NOW)
    fail(lane, NOW + 10)
    begin(lane)
    lane.succeed()

    assert lane.failures == 0
    assert round(fail(lane, NOW + 20), 3) == 0.1


def test_a_full_window_has_no_room():
    lane = Lane()
    begin(lane)

    assert lane.room() == 0


def test_an_endpoint_dead_for_years_is_still_asked_within_the_limit():
    lane = Lane()

    pauses_s = [fail(lane, NOW + 100 * n) for n in range(2000)]

    assert max(pauses_s) <= 60.0
