"""Make a failing case smaller, as long as it fails and that is cheap."""

import time
from dataclasses import replace

TRIES_MAX = 300
SECONDS_MAX = 15.0


def minimise(case, problem_of):
    """Return a smaller case that still fails, or the case itself.

    Args:
        problem_of: Sends a case alone; returns what goes wrong, empty for nothing.
    """
    fails = _Trials(problem_of)
    case = _first(case, [replace(case, cuts=())], fails)
    if case.wild:
        return replace(
            case, wild=_fewer(case.wild, lambda w: replace(case, wild=w), fails)
        )
    case = _fewer_requests(case, fails)
    for index, sent in enumerate(case.requests):
        if not sent.is_valid:  # less of a valid one would be something else
            case = _shorter_body(case, index, fails)
    return case


def _shorter_body(case, index, fails):
    """Leave out parts of one request's body."""

    def with_body(body):
        requests = list(case.requests)
        requests[index] = replace(requests[index], body=body)
        return replace(case, requests=tuple(requests))

    return with_body(_fewer(case.requests[index].body, with_body, fails))


def _first(case, smaller, fails):
    return next((s for s in smaller if fails(s)), case)


def _fewer_requests(case, fails):
    """Leave out requests, one by one."""
    for index in reversed(range(len(case.requests))):
        rest = case.requests[:index] + case.requests[index + 1 :]
        if rest and fails(smaller := replace(case, requests=rest)):
            case = smaller
    return case


def _fewer(data, case_with, fails):
    """Leave out ever smaller pieces, until time is up."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            if fails.is_over:
                return data
            shorter = data[:at] + data[at + size :]
            if shorter and fails(case_with(shorter)):
                data = shorter
            else:
                at += size
        size //= 2 if size > 8 or size == 1 else 8
        size = 0 if size < 4 else size
    return data


class _Trials:
    """Says whether a case fails, so often and so long as that is cheap."""

    def __init__(self, problem_of):
        self._problem_of = problem_of
        self._left = TRIES_MAX
        self._until_s = time.monotonic() + SECONDS_MAX

    @property
    def is_over(self):
        return not self._left or time.monotonic() > self._until_s

    def __call__(self, case):
        if self.is_over:
            return False
        self._left -= 1
        return bool(self._problem_of(case))
