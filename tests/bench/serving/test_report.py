"""The tables, and where they go."""

import pytest

from bench.serving.entrants import OURS, TRITON
from bench.serving.report import MARKS, document
from bench.serving.results import LeftOut, Results, Start, Writer, read_results
from bench.serving.running import ROOT
from tests.bench.serving.test_goals import SETUP, window


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "results.jsonl"
    writer = Writer(path)
    for result in (
        SETUP,
        Start(
            OURS, 0, cpu_s=0.3, wall_s=0.4, memory_mib=60.0, pss_mib=40.0, processes=2
        ),
        window(OURS, 0, 10),
        window(TRITON, 0, 60),
        LeftOut("mlserver", "s_json", "answered 500"),
    ):
        writer.write(result)
    return path


def test_results_are_read_as_they_were_written(written):
    results = read_results(written)
    assert results.setup == SETUP
    assert results.entrants() == [OURS, TRITON]
    assert results.least("s_json", TRITON, "cpu_us") == 60
    assert results.least_start(OURS, "memory_mib") == 60


def test_a_file_of_other_things_is_refused(tmp_path):
    path = tmp_path / "other"
    path.write_text("")
    with pytest.raises(ValueError, match="expected results of the bench"):
        read_results(path)


def test_the_tables_say_what_was_reached_and_who_was_left_out(written):
    text = document(read_results(written), plot="p.png")
    assert "| 6.0x  | yes" in text
    assert "not measured" in text
    assert "mlserver of 'S, JSON, 32 connections': answered 500" in text
    assert "![CPU time for each request](p.png)" in text


def test_a_part_of_the_ring_shows_only_what_it_measured(written):
    assert "not measured" not in document(read_results(written), is_whole=False)


def test_a_run_without_us_still_has_its_tables():
    results = Results(SETUP, (), (window(TRITON, 0, 60),))
    assert "must reach" not in document(results)


def test_the_text_between_the_marks_is_replaced(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS.begin}\nold\n{MARKS.end}\nafter\n")
    MARKS.write(readme, "new")
    MARKS.write(readme, "newer")
    assert (
        readme.read_text() == f"before\n{MARKS.begin}\n\nnewer\n\n{MARKS.end}\nafter\n"
    )


def test_a_file_without_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before")
    with pytest.raises(ValueError, match="expected"):
        MARKS.write(readme, "new")


def test_the_marks_stand_in_the_readme():
    text = (ROOT / "bench" / "README.md").read_text()
    assert text.index(MARKS.begin) < text.index(MARKS.end)
