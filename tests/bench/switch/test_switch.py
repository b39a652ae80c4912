"""The bench of switches counts what fails, and says what was measured."""

import asyncio
import json

import pytest

from bench.switch import __main__ as command
from bench.switch.load import Load, questions
from bench.switch.releases import NAME, answers, install, rows
from bench.switch.report import MARKS, write_document
from bench.switch.results import (
    Memory,
    Results,
    Switch,
    Window,
    load_results,
    save_results,
)
from edge_runtime.slots import open_slots

RESULTS = Results(
    at="now",
    machine="two cores",
    connections=32,
    per_s=1500.0,
    window_s=2.0,
    requests=100,
    failed=0,
    examples=[],
    switches=[
        Switch(0.2, 0.1, 0.1, Window(9, ours, 2.0, 3.0), Window(9, 1.0, 1.0, 1.0))
        for ours in (1.0, 1.5, 9.0)
    ],
    memory={"before": Memory(60.0, 70.0, 2)},
    rolled_back_s={"by command": [0.02, 0.03]},
    lost=3,
)


def test_a_small_run_switches_and_goes_back_without_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    options = "--switches 1 --back 0 --window 0.5 --rate 200 --no-plot"
    monkeypatch.setattr(
        "sys.argv", ["bench-switch", *options.split(), "--json", str(path)]
    )
    assert command.main() == 0
    (switch,) = load_results(path).switches
    assert 0 < switch.start_cpu_s < 60
    assert switch.window.count > 20
    assert switch.control.p99_ms >= switch.control.p50_ms > 0


def test_results_are_read_as_they_were_written(tmp_path):
    save_results(RESULTS, tmp_path / "results.json")
    assert load_results(tmp_path / "results.json") == RESULTS


def test_the_ratio_is_the_median_over_switches():
    assert RESULTS.ratio("p50_ms") == pytest.approx(1.5)
    assert "median ratio 1.50" in write_document(RESULTS)
    assert "**0**" in write_document(RESULTS)


def test_the_table_stands_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{MARKS.begin}\nold\n{MARKS.end}\nbelow\n")
    for _ in range(2):
        MARKS.write(page, "new\n")
    assert page.read_text() == f"above\n{MARKS.begin}\n\nnew\n\n{MARKS.end}\nbelow\n"


def test_the_two_releases_answer_differently(tmp_path):
    first, second = (install(tmp_path, slot, v) for v, slot in enumerate("ab", 1))
    assert open_slots(tmp_path).slot("b").release.model == NAME
    x = rows(4)
    assert abs(answers(first, x) - answers(second, x)).max() > 0.1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"", "closed unanswered"),
        (None, "answered [9.0, 9.0, 9.0]"),
    ],
    ids=["a refusal", "a broken connection", "a wrong answer"],
)
def test_whatever_is_no_right_answer_is_a_failure(tmp_path, answer, words):
    model = install(tmp_path, "a", 1)
    x = rows(1)
    asked = questions(x, {f"{NAME}@1": answers(model, x)})
    body = json.dumps({"outputs": [{"data": [9.0, 9.0, 9.0]}]}).encode()
    head = f"HTTP/1.1 200 OK\r\nX-Packhorse-Release: {NAME}@1\r\n"
    wrong = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    record = asyncio.run(_ask_once(asked, wrong if answer is None else answer))

    assert record.answered.total() == 0
    assert record.failed > 0
    assert words in record.examples[0]


async def _ask_once(asked, answer):
    async def reply(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server, Load(server.sockets[0].getsockname()[1], asked, 20.0) as load:
        await asyncio.wait_for(load.record.has_failed.wait(), 10)
        return load.record
