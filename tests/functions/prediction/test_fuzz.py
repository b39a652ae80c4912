"""Requests of all kinds, and bytes that are none: never a 500, a hang or a trace."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functions.prediction.whole_function import (
    BODY,
    FOREIGN,
    ROWS,
    running,
    until,
    upstream_and_settings,
)
from tests.fuzz import odd_bytes, odd_heads
from tests.fuzz.drafts import Draft
from tests.fuzz.exchange import Case, Sent
from tests.fuzz.mutations import cuts, spoil_wire
from tests.fuzz.pump import converse

DOCUMENT = Path(__file__).with_name("openapi.json")
CONFIG = Path(__file__).parents[2] / "edge_runtime" / "schemathesis.toml"
ROUNDS = 25
CONNECTIONS = 24
HANG_S = 20.0
GROWTH_MAX_MIB = 40.0
MAY_BE = {501, 503, 504, 505}
"""Of 500 and above, what a request may be answered with: the upstream is well."""

PATHS = (
    b"/",
    b"/v1/models/magika:predict",
    b"/v2/models/magika/infer",
    b"/v2/models/magika/versions/1/infer",
    b"/v2/models/magika/versions/7/infer",
)
REFUSALS = (
    "broken answer: no Content-Length: b'HTTP/1.1 400",
    "ends within an answer: b'Invalid HTTP request received.'",
)
CANARY = Sent(
    b"POST", PATHS[1], ((b"Content-Type", b"application/json"),), BODY, is_valid=True
)


@pytest.fixture(scope="module")
def function(identity, tmp_path_factory):
    """The function in front of an upstream that answers everything with 200."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with (
        upstream_and_settings(identity, folder) as (upstream, _),
        running(folder) as found,
    ):
        upstream.set_faults({"status": 200, "body": '{"outputs": []}'})
        yield found


def draft(source):
    """Return a request that is right, but for its model's knowing what it means."""
    path = source.choice(PATHS)
    document = ROWS | {"parameters": {"timeout": source.choice((0, 10**6, 10**9))}}
    made = Draft(None, is_predict=False, document=document, path=path)
    if source.random() < 0.3:
        made.has_length, made.tail = True, source.randbytes(64)
    if source.random() < 0.3:
        made.coding = source.choice(("gzip", "deflate", "raw"))
    if source.random() < 0.3:
        made.chunks = tuple(source.randint(1, 200) for _ in range(3))
    return made


def spoil(source, made):
    for _ in range(source.choice((1, 1, 2, 3))):
        source.choice((*odd_bytes.WAYS, *odd_heads.WAYS))(source, made)
    made.path = made.path.replace(b"tiny", b"magika")
    made.is_spoilt = True


def case(source):
    made = [draft(source) for _ in range(source.choice((1, 1, 2, 4)))]
    for one in made:
        spoil(source, one)
    sent = [one.write(source) for one in made]
    if source.random() < 0.3:
        return spoil_wire(source, sent)
    return Case((*sent, CANARY), cuts=cuts(source))


def problem_of(talk):
    """Return what is wrong with what came over a connection; empty for nothing."""
    # uvicorn refuses what is no HTTP without a length, or a HEAD, and closes.
    is_refusal = talk.problem.startswith(REFUSALS)
    if talk.problem and not is_refusal:
        return talk.problem
    for answer in talk.reader.answers:
        if answer.status >= 500 and answer.status not in MAY_BE:
            return f"status {answer.status}: {answer.body[:200]!r}"
        if FOREIGN.search(answer.body):
            return f"foreign words: {answer.body[:200]!r}"
    answers = talk.reader.answers
    if talk.case.wild or is_refusal or len(answers) < len(talk.case.requests):
        return ""
    return "" if answers[-1].status == 200 else f"canary: {answers[-1]}"


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_spoilt_requests_and_wild_bytes_are_answered_or_refused(function, seed):
    source = random.Random(f"predict/{seed}")
    cases = [case(source) for _ in range(CONNECTIONS)]

    talks = converse(function.port, cases, limit_s=HANG_S)

    problems = {
        problem: talk.case.wire()[:600]
        for talk in talks
        if (problem := problem_of(talk))
    }
    assert not problems


def pelt(function, name, rounds):
    """Send rounds of cases, judged elsewhere."""
    for number in range(rounds):
        source = random.Random(f"{name}/{number}")
        cases = [case(source) for _ in range(CONNECTIONS)]
        converse(function.port, cases, limit_s=HANG_S)


def test_after_all_that_it_is_well_and_has_not_grown(function):
    pelt(function, "warm", 3)
    descriptors, rss_mib = function.descriptors(), function.rss_mib()

    pelt(function, "more", 10)

    assert function.predict().status == 200
    assert function.rss_mib() < rss_mib + GROWTH_MAX_MIB
    # As many connections to the upstream may be kept as were used at once.
    until(lambda: function.descriptors() <= descriptors + 2 * CONNECTIONS, 5)


def test_what_a_document_of_its_routes_allows_and_forbids(function, tmp_path):
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG),
            *("run", DOCUMENT),
            *("--url", f"http://127.0.0.1:{function.port}"),
            *("--checks", "not_a_server_error,response_schema_conformance"),
            *("--max-examples", "40", "--seed", "5", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--request-timeout", "20"),
        ],
        env=os.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-4000:]


def test_whatever_comes_leaves_no_trace_in_the_log(function):
    pelt(function, "predict", 10)

    events, others = function.lines()

    assert not [line for line in others if "Traceback" in line or "Error" in line]
    assert not [event for event in events if "crashed" in str(event.get("message"))]
