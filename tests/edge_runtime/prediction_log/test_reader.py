"""Reading while others write."""

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.prediction_log.folder import segment_paths
from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.prediction_log.reader import (
    Cursor,
    LogReader,
    decode_cursor,
    last_predictions,
)
from edge_runtime.settings.serve_settings import LogSettings
from tests.edge_runtime.gateways import wait_for
from tests.edge_runtime.prediction_log.entries import entry, read, request_ids, write

SMALL = LogSettings(1.0, "summary", 256 * 1024)


def ids(records):
    return [record.document["request_id"] for record in records]


def test_no_folder_is_an_empty_log(directory):
    assert read(directory) == []
    assert last_predictions(directory, 5) == []


def test_segments_of_several_processes_are_read_in_the_order_of_time(directory):
    logs = [PredictionLog(directory, SMALL, free_min_bytes=0) for _ in range(3)]
    for i in range(30):
        logs[i % 3].offer(entry(i, at_s=1000.0 + i))
    for log in logs:
        wait_for(lambda log=log: log.counts().written == 10)
        log.close()
    assert len(segment_paths(directory)) == 3
    assert request_ids(directory) == [str(i) for i in range(30)]


def test_a_cursor_that_was_kept_sees_each_record_once(directory):
    seen, cursor = [], Cursor()
    for turn in range(5):
        write(directory, *[entry(f"{turn}-{i}") for i in range(20)], settings=SMALL)
        reader = LogReader(directory, decode_cursor(cursor.encode()))
        seen += ids(reader.read())
        cursor = reader.cursor
    assert seen == [f"{turn}-{i}" for turn in range(5) for i in range(20)]
    assert list(LogReader(directory, cursor).read()) == []


def test_a_reader_that_stops_halfway_goes_on_behind_what_it_took(directory):
    write(directory, *map(entry, range(10)))
    reader = LogReader(directory)
    records = reader.read()
    taken = ids([next(records) for _ in range(4)])
    records.close()
    assert taken + ids(reader.read()) == [str(i) for i in range(10)]


def test_a_cursor_forgets_segments_that_are_gone(directory):
    write(directory, entry())
    reader = LogReader(directory, Cursor({1: 500}))
    assert len(list(reader.read())) == 1
    assert list(reader.cursor.places) == [segment_paths(directory)[0][0]]


def test_ids_are_unique_and_say_where_a_record_lies(directory):
    write(directory, *map(entry, range(500)), settings=SMALL)
    records = read(directory)
    assert len({record.id for record in records}) == len(records)
    assert records[0].id == f"{records[0].number}-24"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"segments":{"a":1}}', b"1"])
def test_what_is_no_cursor_is_refused(body):
    with pytest.raises(SettingsError, match="cursor"):
        decode_cursor(body)


def test_the_last_predictions_are_the_newest_of_all_segments(directory):
    for turn in range(4):
        entries = [entry(f"{turn}-{i}", at_s=1000.0 * turn + i) for i in range(60)]
        write(directory, *entries, settings=SMALL)
    assert ids(last_predictions(directory, 3)) == ["3-59", "3-58", "3-57"]
    odd = last_predictions(
        directory, 2, keep=lambda r: r.document["request_id"].startswith("1-")
    )
    assert ids(odd) == ["1-59", "1-58"]


def test_a_segment_that_goes_while_it_is_read_is_no_error(directory):
    write(directory, *map(entry, range(3)))
    records = LogReader(directory).read()
    next(records)
    segment_paths(directory)[0][1].unlink()
    assert len(list(records)) == 2
