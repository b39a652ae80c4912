"""Whose request something was done for, as its log line says."""

from typing import NamedTuple

from functions.prediction.headers import NO_TRACE, Trace


class Whose(NamedTuple):
    """A request's id, and the trace that it belongs to."""

    request_id: str = ""
    trace: Trace = NO_TRACE


NOBODY = Whose()
