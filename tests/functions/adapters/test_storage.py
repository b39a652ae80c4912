"""Objects are written once or under a condition, and read with a cap."""

import io
import os
import threading

import pytest
from google.cloud import storage

from functions.adapters.storage import CHUNK_BYTES, ObjectStore
from functions.errors import UpstreamUnavailableError
from packhorse.errors import LimitExceededError


def write_once(store, name, body):
    length_bytes = len(body) if isinstance(body, bytes) else body.getbuffer().nbytes
    return store.write_once(
        name,
        body,
        length_bytes=length_bytes,
        content_type="application/x-tar",
        cache_control="public, max-age=60, immutable",
    )


def test_an_object_is_written_once_and_never_again(store):
    assert write_once(store, "a/b.tar", b"first")
    assert not write_once(store, "a/b.tar", b"second")

    assert store.read("a/b.tar", 100) == b"first"


def test_what_is_not_there_reads_as_none(store):
    assert store.read("absent", 100) is None
    assert store.read_with_generation("absent", 100) is None
    assert store.open_reader("absent") is None


def test_an_empty_object_is_no_missing_one(store):
    write_once(store, "empty", b"")

    assert store.read("empty", 100) == b""
    assert store.open_reader("empty").read() == b""


def test_an_object_longer_than_the_limit_is_refused(store):
    write_once(store, "long", b"x" * 101)

    assert store.read("long", 101) == b"x" * 101
    with pytest.raises(LimitExceededError, match="100 bytes"):
        store.read("long", 100)


def test_large_objects_go_up_and_down_in_pieces(store):
    body = os.urandom(2 * CHUNK_BYTES + 12_345)

    assert write_once(store, "large", io.BytesIO(body))
    with store.open_reader("large") as reader:
        assert reader.read(10) == body[:10]
        assert reader.read() == body[10:]
    assert not write_once(store, "large", io.BytesIO(body))


def test_only_who_read_the_latest_generation_may_replace_an_object(store):
    assert store.write_if_generation("timestamp.json", b"1", 0)
    body, generation = store.read_with_generation("timestamp.json", 100)
    assert store.write_if_generation("timestamp.json", b"2", generation)

    assert body == b"1"
    assert not store.write_if_generation("timestamp.json", b"other", generation)
    assert store.read("timestamp.json", 100) == b"2"


def test_of_many_writers_at_once_one_wins(bucket, store):
    write_once(store, "contended", b"0")
    _, generation = store.read_with_generation("contended", 10)
    won = []

    def write(number):
        with storage.Client(project="demo") as client:
            mine = ObjectStore(bucket, client=client)
            if mine.write_if_generation("contended", str(number).encode(), generation):
                won.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert store.read("contended", 10) == str(won[0]).encode()


def test_caches_are_told_what_may_be_kept(bucket, store):
    write_once(store, "kept", b"x")
    store.write_if_generation("timestamp.json", b"x", 0)

    with storage.Client(project="demo") as client:
        kept, fresh = (
            client.bucket(bucket).get_blob(name) for name in ("kept", "timestamp.json")
        )
    assert kept.cache_control == "public, max-age=60, immutable"
    assert fresh.cache_control == "no-store"


def test_a_storage_that_is_away_is_an_error_of_ours(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with storage.Client(project="demo") as client:
        away = ObjectStore("bundles", client=client)
        with pytest.raises(UpstreamUnavailableError, match="Cloud Storage"):
            away.read("a", 10)
        with pytest.raises(UpstreamUnavailableError):
            write_once(away, "a", b"x")
