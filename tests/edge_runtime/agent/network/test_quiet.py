"""Servers may ask to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from edge_runtime.agent.network.quiet import Quiet, retry_after_s
from edge_runtime.agent.network.web import Web


def test_a_number_is_seconds():
    assert retry_after_s("120") == 120.0


def test_a_date_is_until_when():
    at = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < retry_after_s(format_datetime(at, usegmt=True)) <= 90


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1e9",
        "9" * 4000,
        "²",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 99 Jan 99999 00:00:00 GMT",
        "Thu, 01 Jan 0001 00:00:00 +2359",
    ],
)
def test_what_is_no_such_header_asks_for_nothing(text):
    assert retry_after_s(text) == 0.0


def test_only_an_answer_that_refuses_for_now_is_heard():
    quiet = Quiet(clock=lambda: 5.0)
    for status in (200, 304, 404, 500):
        quiet.note(status, {"Retry-After": "60"})
    assert quiet.take_s() == 0.0


def test_it_is_told_once():
    quiet = Quiet(clock=lambda: 5.0)
    quiet.note(503, {"Retry-After": "60"})
    quiet.note(429, {"Retry-After": "30"})
    assert quiet.take_s() == 60.0
    assert quiet.take_s() == 0.0


def test_the_web_hears_it(receiver):
    receiver.statuses = [503]
    web = Web()
    web.post(receiver.url, b"{}")
    assert web.quiet.take_s() == 0.0
