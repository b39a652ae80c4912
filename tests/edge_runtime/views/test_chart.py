"""The latency chart: what is drawn, and what is said of it."""

import re

import pytest

from edge_runtime.latency import RecentTimes
from edge_runtime.views.chart import HEIGHT, WIDTH, draw_chart
from tests.edge_runtime.server_views import NOW_S, busy_measures


def chart_of(*answers):
    """Draw answers, each a number of seconds ago and its milliseconds."""
    recent = RecentTimes()
    for ago_s, took_ms in answers:
        recent.add(NOW_S - ago_s, took_ms)
    return draw_chart(recent.slots(NOW_S), NOW_S)


def places(path):
    pairs = re.findall(r"([\d.-]+) ([\d.-]+)", path)
    return [(float(x), float(y)) for x, y in pairs]


def test_nothing_is_drawn_of_nothing():
    assert chart_of() is None
    assert chart_of((3600.0, 1.0)) is None


def test_everything_lies_on_the_plane():
    slots = busy_measures().recent_ms.slots(NOW_S)
    chart = draw_chart(slots, NOW_S)
    for path in (chart.p50_path, chart.p99_path, chart.band_path):
        assert len(places(path)) > 80
        for x, y in places(path):
            assert 0.0 <= x <= WIDTH
            assert -0.01 <= y <= HEIGHT + 0.01
    for mark in (*chart.ms_marks, *chart.time_marks):
        assert -0.01 <= mark.at_percent <= 100.01
    assert 2 <= len(chart.ms_marks) <= 7


def test_later_is_further_right_and_slower_is_higher_up():
    chart = chart_of((600, 1.0), (590, 1.0), (20, 100.0), (10, 100.0))
    first, *_, last = places(chart.p50_path)
    assert first[0] < last[0]
    assert first[1] > last[1]


def test_a_pause_parts_the_lines_and_a_lonely_slot_is_a_dot():
    chart = chart_of((600, 1.0), (590, 1.0), (100, 1.0))
    assert chart.p50_path.count("M") == 2
    assert chart.p50_path.endswith("h0")
    assert chart.band_path.count("Z") == 1


@pytest.mark.parametrize("took_ms", [0.0, 0.001, 0.4, 9_999.0, 1e7])
def test_any_time_finds_its_place(took_ms):
    chart = chart_of((30, took_ms), (20, took_ms))
    assert all(-0.01 <= y <= HEIGHT + 0.01 for _, y in places(chart.p99_path))


def test_the_slot_that_goes_on_has_no_bar_yet():
    assert chart_of((1, 1.0)).rate_path == ""
    chart = chart_of((30, 1.0), (30, 1.0), (1, 1.0))
    assert chart.rate_path.count("z") == 1
    assert chart.rate_max == "0.2/s"


def test_the_chart_is_told_in_a_sentence_and_minute_by_minute():
    chart = chart_of(*[(125, 1.0)] * 3, *[(5, 100.0)] * 2)
    assert re.match(r".*: 5; half of them came within .* ms, .* within", chart.summary)
    assert [row.count for row in chart.rows] == ["2", "3"]
    assert chart.rows[0].at > chart.rows[1].at
