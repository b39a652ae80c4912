"""A real writer, killed at any moment."""

import io
import random

from edge_runtime.prediction_log.folder import segment_paths
from edge_runtime.prediction_log.frames import read_header
from tests.edge_runtime.prediction_log.entries import read, request_ids, size_bytes

KILLS = 5
MIB = 1024**2


def kill_at_some_moment(process):
    """Kill the process; return how many records it had said it wrote."""
    lines = random.randrange(1, 40)
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    process.wait()
    return int((said + process.stdout.read().splitlines())[-1])


def test_no_record_is_lost_or_torn_however_often_the_writer_is_killed(
    directory, start_writer
):
    promised = {}
    for life in range(KILLS):
        promised[life] = kill_at_some_moment(start_writer(f"{life}", 64 * MIB))

    found = request_ids(directory)

    assert len(found) == len(set(found))
    for life, count in promised.items():
        numbers = [int(i.split("-")[1]) for i in found if i.startswith(f"{life}-")]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= count


def test_a_writer_goes_on_where_a_killed_one_was_torn(directory, start_writer):
    for life in range(2):
        kill_at_some_moment(start_writer(f"{life}", 64 * MIB))
        ((_, path),) = segment_paths(directory)
        with path.open("r+b") as file:
            mark = read_header(file).mark
            file.seek(0, io.SEEK_END)
            file.write(mark + bytes(20))

    kill_at_some_moment(start_writer("last", 64 * MIB))

    ((_, path),) = segment_paths(directory)
    records = read(directory)
    sizes = [record.end - record.offset for record in records]
    assert {r.document["request_id"].split("-")[0] for r in records} >= {"0", "last"}
    assert sum(sizes) + 24 >= path.stat().st_size - max(sizes)  # but for its own end


def test_processes_side_by_side_stay_under_the_cap_together(directory, start_writer):
    processes = [start_writer(f"{n}", MIB) for n in range(3)]
    for _ in range(150):
        for process in processes:
            process.stdout.readline()
        assert size_bytes(directory) <= MIB
    newest = {r.document["request_id"].split("-")[0] for r in read(directory)}
    assert newest == {"0", "1", "2"}
