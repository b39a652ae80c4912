"""Instants are written as the standard library's mail package writes them."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.http.dates import http_date

YEAR_9999_S = 253_402_300_799


@given(st.integers(0, YEAR_9999_S))
def test_every_second_is_written_as_mail_writes_it(at_s):
    assert http_date(at_s) == formatdate(at_s, usegmt=True)


def test_the_example_of_the_standard_comes_out():
    assert http_date(784_111_777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"
