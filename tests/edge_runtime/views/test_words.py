"""Numbers as people say them."""

import pytest

from edge_runtime.views.words import (
    ago_words,
    bytes_words,
    clock_words,
    count_words,
    day_words,
    duration_words,
    ms_words,
    rate_words,
    shape_words,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (65, "1 min 5 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_is_said_in_two_units(seconds, words):
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "just now"), (-3, "just now"), (59, "59 s ago"), (7300, "2 h ago")],
)
def test_how_long_ago_something_was_is_said_in_one(seconds, words):
    assert ago_words(seconds) == words


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (0.038, "38 µs"),
        (0.0042, "4.2 µs"),
        (0.42, "0.42 ms"),
        (1.0, "1 ms"),
        (9.96, "10 ms"),
        (12.4, "12 ms"),
        (999.6, "1 s"),
        (1300, "1.3 s"),
        (61_000, "61 s"),
    ],
)
def test_a_short_time_is_said_with_two_digits(value_ms, words):
    assert ms_words(value_ms) == words


def test_counts_sizes_rates_and_moments_have_their_own_words():
    assert count_words(1_234_567) == "1,234,567"
    assert bytes_words(73_400_320) == "70 MiB"
    assert bytes_words(5 * 1024**3) == "5 GiB"
    assert bytes_words(100) == "100 B"
    assert rate_words(0.25) == "0.25/s"
    assert (day_words(0.0), clock_words(3661.0)) == ("1970-01-01", "01:01:01")
    assert shape_words((1, 4)) == "[1, 4]"
