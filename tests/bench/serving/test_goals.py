"""Whether a run of the ring reached what must be reached."""

import pytest

from bench.serving.entrants import OURS, TRITON
from bench.serving.goals import RATIOS, Ratio, judge, ratio_of, time_text
from bench.serving.results import Results, Setup, Start, Window
from bench.serving.ring import SESSION

SETUP = Setup(at="now", machine="this", seconds=1, rounds=3, versions={})


def window(entrant, number, cpu_us, cell="s_json"):
    return Window(
        cell=cell,
        entrant=entrant,
        round=number,
        requests=100,
        per_s=100.0,
        cpu_us=cpu_us,
        client_cpu_us=1.0,
        p50_us=cpu_us,
        p90_us=cpu_us,
        p99_us=cpu_us,
        others_share=0.0,
    )


def results(*windows, starts=()):
    return Results(SETUP, tuple(starts), tuple(windows))


def test_a_ratio_is_taken_within_each_round_and_the_median_counts():
    ours, peer = [10, 40, 20], [50, 200, 160]
    run = results(
        *(window(OURS, n, us) for n, us in enumerate(ours)),
        *(window(TRITON, n, us) for n, us in enumerate(peer)),
    )
    assert ratio_of(run, Ratio("S", 5, "s_json", TRITON)) == 5


def test_a_round_that_one_of_both_missed_does_not_count():
    run = results(window(OURS, 0, 10), window(OURS, 1, 1), window(TRITON, 0, 50))
    assert ratio_of(run, Ratio("S", 5, "s_json", TRITON)) == 5


def test_the_bare_run_can_be_left_out_of_the_comparison():
    run = results(
        window(OURS, 0, 3000, "m_json"),
        window(TRITON, 0, 5000, "m_json"),
        window(SESSION, 0, 2500, "m_json"),
    )
    assert ratio_of(run, Ratio("M", 2, "m_json", TRITON, is_over_run=True)) == 5


def test_what_was_not_measured_is_neither_reached_nor_missed():
    assert all(verdict.is_reached is None for verdict in judge(results()))


def test_the_goals_are_judged_by_what_was_measured():
    start = Start(
        OURS, 0, cpu_s=0.3, wall_s=0.4, memory_mib=70.0, pss_mib=40.0, processes=1
    )
    run = results(window(OURS, 0, 10), window(TRITON, 0, 60), starts=[start])
    verdicts = {(v.what, v.must): v.is_reached for v in judge(run)}
    assert verdicts[RATIOS[0].what, "≥ 5x less than triton"] is True
    assert verdicts["S, memory", "≤ 65 MiB"] is False
    assert verdicts["start to first right answer, CPU", "≤ 0.4 s"] is True


@pytest.mark.parametrize(
    ("value_us", "text"),
    [(None, "-"), (7.25, "7.2 µs"), (130.4, "130 µs"), (12_345, "12.35 ms")],
)
def test_times_are_written_for_people(value_us, text):
    assert time_text(value_us) == text
