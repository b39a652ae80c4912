"""A short run of our own fuzzer, what it once found, and whether it would notice."""

import json
import socket
import threading

import pytest

from tests.fuzz.corpus import canary, corpus, infer
from tests.fuzz.exchange import Answer, Case
from tests.fuzz.fuzzer import Fuzzer, make_round, start_gateway
from tests.fuzz.judge import judge, judge_talk
from tests.fuzz.minimise import minimise
from tests.fuzz.pump import converse

SHORT_S = 12.0
SEED = 7

GROWTH_MAX_MIB = 32
"""What the allocator holds differs by 20 MiB from one time to the next."""


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    place = tmp_path_factory.mktemp("fuzz")
    gateway = start_gateway(place)
    yield Fuzzer(gateway, SEED, place / "found")
    assert gateway.stop() == 0


def test_a_short_run_finds_nothing(fuzzer):
    fuzzer.run(SHORT_S)
    assert fuzzer.findings == []
    assert fuzzer.counts[200] > fuzzer.counts[400] > 100


def test_the_same_requests_again_take_no_more_memory(fuzzer):
    assert fuzzer.growth_mib(rounds=8, cycles=12) < GROWTH_MAX_MIB
    assert fuzzer.findings == []


@pytest.mark.parametrize("name", corpus())
def test_what_is_odd_is_answered_as_it_should_be(fuzzer, name):
    case, statuses = corpus()[name]
    (talk,) = converse(fuzzer.gateway.port, [case], limit_s=20)
    assert judge_talk(talk) == ""
    assert [answer.status for answer in talk.reader.answers] == statuses
    assert fuzzer.problem_of(case) == ""


def test_a_seed_gives_the_same_cases_again():
    def wires(number):
        return [case.wire() for case in make_round(SEED, number)]

    assert wires(3) == wires(3) != wires(4)


def answer_to(sent, y, **changes):
    document = {"model_name": sent.served.name, "model_version": "1"}
    document["outputs"] = [
        {"name": "y", "datatype": "INT64", "shape": [1, 2], "data": y}
    ]
    return Answer(200, {}, json.dumps(document | changes).encode())


def test_the_judge_tells_right_from_wrong():
    sent = infer("id_int64", "INT64", [1, 2], [2**63 - 1, -5])
    right = [2**63 - 1, -5]

    assert judge(sent, answer_to(sent, right)) == ""
    assert "wrong y" in judge(sent, answer_to(sent, [2**63 - 2, -5]))
    assert "another version" in judge(sent, answer_to(sent, right, model_version="2"))
    assert "other outputs" in judge(sent, answer_to(sent, right, outputs=[]))
    assert "cannot be read" in judge(sent, Answer(200, {}, b"{"))


def test_an_answer_to_what_is_wrong_is_a_finding():
    sent = infer("id_int64", "INT64", [1, 2], [1, 2.5])
    assert "200 for what cannot be read" in judge(sent, answer_to(sent, [1, 2]))
    assert judge(sent, Answer(400, {}, b"{}")) == ""


REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

REPLIES = {
    "hangs": b"",
    "ends within": REPLY.replace(b"2\r", b"3\r"),
    "no status line": REPLY[3:],
    "no Content-Length": REPLY.replace(b"Length", b"Size"),
    "answers for": REPLY * 3,
    "status 500": REPLY.replace(b"200", b"500"),
    "without a sentence": REPLY.replace(b"200", b"400"),
}


@pytest.mark.parametrize("problem", REPLIES)
def test_a_server_that_answers_wrongly_is_noticed(problem):
    reply = REPLIES[problem]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, reply))
        thread.start()
        port = listener.getsockname()[1]
        (talk,) = converse(port, [Case((canary(), canary()))], limit_s=1)
        thread.join()
    assert problem in judge_talk(talk)


def answer_once(listener, reply):
    connection, _ = listener.accept()
    with connection:
        connection.recv(100_000)
        connection.sendall(reply)
        if not reply:
            connection.recv(100_000)
            connection.recv(100_000)


def test_a_case_is_made_as_small_as_still_fails():
    bad = infer("free", "FP32", [1, 3], [1, 2, 666])
    case = Case((canary(), bad, canary()), cuts=(5, 9))

    small = minimise(case, lambda case: "666" * (b"666" in case.wire()))

    assert [sent.body for sent in small.requests] == [b"666]}"]
    assert small.cuts == ()
