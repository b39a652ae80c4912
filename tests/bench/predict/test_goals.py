"""Whether a run of the prediction bench reached what must be reached."""

import pytest

from bench.predict.cells import BIG, MANY, ONE
from bench.predict.cost import Instance, Prices, instance_s, million
from bench.predict.entrants import CLIENT, DIRECT, OURS
from bench.predict.goals import ROWS, milliseconds
from bench.predict.report import document
from bench.predict.results import FirstAnswer, Held, Results, read_results
from bench.serving.results import LeftOut, Setup, Window, Writer

SETUP = Setup(at="now", machine="this", seconds=1, rounds=3, versions={"Python": "3"})
INSTANCE = Instance(cpus=1, gib=0.5)


def window(cell, entrant, number, **measures):
    values = dict.fromkeys(("cpu_us", "p50_us", "p90_us", "p99_us", "per_s"), 1.0)
    return Window(
        cell=cell,
        entrant=entrant,
        round=number,
        requests=100,
        client_cpu_us=1.0,
        others_share=0.0,
        **values | measures,
    )


def results(*windows, starts=(), held=()):
    return Results(SETUP, tuple(starts), tuple(windows), tuple(held))


def row(what):
    return next(row for row in ROWS if row.what.startswith(what))


def test_a_ratio_is_taken_within_each_round_and_the_median_counts():
    ours, theirs = [10, 40, 20], [130, 400, 300]
    run = results(
        *(window(MANY, OURS, n, cpu_us=us) for n, us in enumerate(ours)),
        *(window(MANY, CLIENT, n, cpu_us=us) for n, us in enumerate(theirs)),
    )

    assert row("CPU per request").ratio(run, CLIENT) == 13
    assert row("CPU per request").is_reached(run) is True


def test_of_a_rate_more_is_better():
    run = results(
        window(MANY, OURS, 0, per_s=800.0), window(MANY, CLIENT, 0, per_s=100.0)
    )

    assert row("requests/s").ratio(run, CLIENT) == 8
    assert row("requests/s").is_reached(run) is False


def test_what_is_added_is_measured_from_the_upstream_of_the_same_round():
    run = results(
        window(ONE, OURS, 0, p50_us=21_000.0),
        window(ONE, OURS, 1, p50_us=26_000.0),
        window(ONE, DIRECT, 0, p50_us=20_000.0),
        window(ONE, DIRECT, 1, p50_us=24_800.0),
    )

    assert row("added p50").read(run, OURS) == {0: 1000.0, 1: 1200.0}
    assert row("added p50").is_reached(run) is True


def test_memory_is_held_against_its_limit_with_and_without_the_master():
    held = [Held(MANY, OURS, 0, alone_mb=80, answering_rss_mb=53, processes=2)]
    run = results(window(MANY, OURS, 0), held=held)

    assert row("resident memory of the process").is_reached(run) is True
    assert row("resident memory of the whole").is_reached(run) is False


def test_what_was_not_measured_is_neither_reached_nor_missed():
    run = results(window(BIG, OURS, 0))

    assert row("700 kB").is_reached(run) is None
    assert row("process start").is_reached(run) is None
    assert "**no**" not in document(run)


def test_a_file_is_read_as_it_was_written_and_says_who_was_left_out(tmp_path):
    writer = Writer(tmp_path / "results.jsonl")
    start, load = FirstAnswer(OURS, 0, 0.5, 0.3), window(MANY, OURS, 0)
    for one in (SETUP, start, load, LeftOut(CLIENT, MANY, "it fell over")):
        writer.write(one)

    run = read_results(tmp_path / "results.jsonl")

    assert (run.setup, run.starts, run.windows) == (SETUP, (start,), (load,))
    assert "(a) PredictionServiceClient: it fell over" in document(run)


@pytest.mark.parametrize(
    ("value_us", "text"),
    [(950, "0.95 ms"), (21_234, "21.2 ms"), (1_500_000, "1,500 ms")],
)
def test_times_have_as_many_digits_as_say_something(value_us, text):
    assert milliseconds(value_us) == text


def test_waiting_is_shared_and_work_is_not():
    assert instance_s(0.021, 0.000_25, 1, 1) == 0.021
    assert instance_s(0.021, 0.000_25, 21, 1) == pytest.approx(0.001)
    assert instance_s(0.021, 0.005, 64, 1) == 0.005
    assert instance_s(0.021, 0.005, 64, 2) == 0.0025


def test_a_million_costs_its_instance_seconds_and_its_fee():
    prices = Prices(cpu_second=0.000_02, gib_second=0.000_01, million_requests=0.5)

    assert million(0.001, INSTANCE, prices) == pytest.approx(1000 * 0.000_025 + 0.5)
