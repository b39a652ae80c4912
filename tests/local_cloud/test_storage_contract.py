"""What the product leans on in Cloud Storage, and what ours keeps under a kill."""

import hashlib
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local_cloud.ports import free_port
from tests.local_cloud.registry.stand_ins import Server, running, wait_for

BUCKET = "packhorse-bundles"
BODY = hashlib.sha256(b"bundle").digest() * 3000
IMMUTABLE = "public, max-age=31536000, immutable"


def storage_server(data):
    port = free_port()
    command = [sys.executable, "-m", "local_cloud.storage", "--port", str(port)]
    command += [
        "--data",
        str(data),
        "--bucket",
        BUCKET,
        "--bucket",
        "packhorse-devices",
    ]
    return Server(command, port, "/_internal/healthcheck")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    server = storage_server(tmp_path_factory.mktemp("storage"))
    with running(server):
        yield server


@pytest.fixture
def fresh(tmp_path):
    """A server of its own, to be killed."""
    server = storage_server(tmp_path)
    with running(server):
        yield server


def bucket_of(server):
    """Return Google's client for our bucket, as `STORAGE_EMULATOR_HOST` makes it."""
    client = storage.Client(
        project="packhorse-demo",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.url},
    )
    return client.bucket(BUCKET)


@pytest.fixture
def bucket(shared):
    return bucket_of(shared)


def write(bucket, name, body, *, cache_control=None, **conditions):
    blob = bucket.blob(name)
    blob.cache_control = cache_control
    blob.upload_from_string(body, retry=None, timeout=10, **conditions)
    return blob


def write_at_once(server, name, bodies, **conditions):
    """Write all of `bodies` at the same moment; return those that were taken."""
    start, taken = threading.Barrier(len(bodies)), []

    def contend(body):
        bucket = bucket_of(server)
        start.wait()
        try:
            write(bucket, name, body, **conditions)
        except PreconditionFailed:
            return
        taken.append(body)

    threads = [threading.Thread(target=contend, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def test_the_buckets_are_there_as_soon_as_it_answers(bucket):
    names = [bucket.name for bucket in bucket.client.list_buckets(timeout=10)]

    assert names == [BUCKET, "packhorse-devices"]


def test_an_object_is_created_only_if_it_is_absent(bucket):
    write(bucket, "once", b"first", if_generation_match=0)

    with pytest.raises(PreconditionFailed):
        write(bucket, "once", b"second", if_generation_match=0)

    assert bucket.blob("once").download_as_bytes() == b"first"


def test_a_resumable_upload_is_refused_like_a_simple_one(bucket, tmp_path):
    write(bucket, "once-large", b"first", if_generation_match=0)
    blob = bucket.blob("once-large", chunk_size=256 * 1024)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 600_000)

    with pytest.raises(PreconditionFailed):
        blob.upload_from_filename(path, if_generation_match=0, retry=None)

    assert bucket.blob("once-large").download_as_bytes() == b"first"


def test_one_of_many_creators_wins_and_its_bytes_stay(shared, bucket):
    for number in range(10):
        bodies = [bytes([65 + n]) * 100_000 for n in range(4)]

        taken = write_at_once(shared, f"race/{number}", bodies, if_generation_match=0)

        assert len(taken) == 1
        assert bucket.blob(f"race/{number}").download_as_bytes() == taken[0]


def test_one_of_many_who_overwrite_the_same_generation_wins(shared, bucket):
    for number in range(10):
        before = write(bucket, "metadata/timestamp.json", b"before").generation
        bodies = [f"{number}/{n}".encode() for n in range(4)]

        taken = write_at_once(
            shared, "metadata/timestamp.json", bodies, if_generation_match=before
        )

        assert len(taken) == 1


def test_a_stale_generation_is_refused(bucket):
    stale = write(bucket, "document", b"1").generation
    fresh = write(bucket, "document", b"2", if_generation_match=stale).generation

    with pytest.raises(PreconditionFailed):
        write(bucket, "document", b"3", if_generation_match=stale)

    assert fresh > stale
    assert bucket.blob("document").download_as_bytes() == b"2"


def test_google_s_client_reads_ranges_and_checks_what_it_read(bucket):
    write(bucket, "ranges", BODY)

    blob = bucket.blob("ranges")

    assert blob.download_as_bytes(start=100, end=199) == BODY[100:200]
    assert blob.download_as_bytes(start=len(BODY) - 7) == BODY[-7:]
    assert blob.download_as_bytes(checksum="crc32c") == BODY


def test_objects_are_listed_by_prefix(bucket):
    for name in ("list/b", "list/a", "list/deep/c", "other"):
        write(bucket, name, b"x")

    assert [blob.name for blob in bucket.list_blobs(prefix="list/", timeout=10)] == [
        "list/a",
        "list/b",
        "list/deep/c",
    ]


def test_plain_http_serves_an_object_without_credentials(shared, bucket):
    name = "targets/bundles/magika/2/abc.fp32.tar"
    write(bucket, name, BODY, cache_control=IMMUTABLE)

    whole = requests.get(f"{shared.url}/{BUCKET}/{name}", timeout=10)
    head = requests.head(f"{shared.url}/{BUCKET}/{name}", timeout=10)

    assert whole.content == BODY
    assert whole.headers["Cache-Control"] == IMMUTABLE
    assert head.headers["Content-Length"] == str(len(BODY))


def test_plain_http_serves_a_range_and_refuses_one_behind_the_end(shared, bucket):
    write(bucket, "plain", BODY)
    url = f"{shared.url}/{BUCKET}/plain"

    part = requests.get(url, headers={"Range": "bytes=95990-"}, timeout=10)
    behind = requests.get(url, headers={"Range": "bytes=96000-"}, timeout=10)

    assert (part.status_code, part.content) == (206, BODY[95990:])
    assert part.headers["Content-Range"] == "bytes 95990-95999/96000"
    assert behind.status_code == 416


def test_a_missing_object_is_missing_by_either_way(shared, bucket):
    url = f"{shared.url}/{BUCKET}/metadata/9.root.json"

    assert requests.get(url, timeout=10).status_code == 404
    assert bucket.get_blob("metadata/9.root.json", timeout=10) is None


def test_a_reader_never_sees_half_an_overwrite(shared, bucket):
    url, torn, stopping = f"{shared.url}/{BUCKET}/turns", [], threading.Event()
    write(bucket, "turns", b"0" * 500_000)

    def read_until_stopped():
        with requests.Session() as session:
            while not stopping.is_set():
                reply = session.get(url, timeout=10)
                if not reply.ok or len(set(reply.content)) != 1:
                    torn.append(reply.status_code)

    reader = threading.Thread(target=read_until_stopped)
    reader.start()
    for turn in range(20):
        write(bucket, "turns", bytes([65 + turn]) * (500_000 - turn))
    stopping.set()
    reader.join()

    assert not torn


def test_a_kill_keeps_bytes_generation_and_cache_control(fresh):
    bucket = bucket_of(fresh)
    before = write(bucket, "kept", BODY, cache_control=IMMUTABLE, if_generation_match=0)

    fresh.kill()
    fresh.start()

    after = bucket.get_blob("kept", timeout=10)
    assert after.download_as_bytes() == BODY
    assert after.generation == before.generation
    assert after.cache_control == IMMUTABLE
    write(bucket, "kept", b"next", if_generation_match=before.generation)


def test_kills_in_the_middle_of_writes_lose_nothing_acknowledged(fresh):
    """One writer counts up under a generation condition, as the timestamp does."""
    acknowledged, stopping = [], threading.Event()

    def count_up():
        bucket = bucket_of(fresh)
        while not stopping.is_set():
            try:
                blob = bucket.get_blob("timestamp", timeout=5, retry=None)
                value = (
                    int(blob.download_as_bytes(timeout=5, retry=None)) if blob else 0
                )
                generation = blob.generation if blob else 0
                text = str(value + 1)
                write(bucket, "timestamp", text, if_generation_match=generation)
                acknowledged.append(value + 1)
            except (requests.RequestException, GoogleAPICallError):
                continue

    writer = threading.Thread(target=count_up)
    writer.start()
    for kills in range(1, 5):
        wait_for(lambda kills=kills: len(acknowledged) > 20 * kills, "writes")
        fresh.kill()
        fresh.start()
    stopping.set()
    writer.join()

    last = int(bucket_of(fresh).blob("timestamp").download_as_bytes())
    assert acknowledged == sorted(set(acknowledged))
    assert acknowledged[-1] <= last <= acknowledged[-1] + 1
    assert [blob.name for blob in bucket_of(fresh).list_blobs()] == ["timestamp"]


def test_an_object_that_a_kill_left_without_attributes_is_mended(fresh, tmp_path):
    bucket = bucket_of(fresh)
    write(bucket, "metadata/timestamp.json", b"{}", cache_control="no-store")
    fresh.kill()
    path = tmp_path / "objects" / BUCKET / "metadata" / "timestamp.json"
    os.removexattr(path, "user.metadata")
    (path.parent / ".timestamp.json1234").touch()

    fresh.start()

    [listed] = bucket.list_blobs(timeout=10)
    assert listed.name == "metadata/timestamp.json"
    assert listed.download_as_bytes(checksum="crc32c") == b"{}"
    write(bucket, listed.name, b"[]", if_generation_match=listed.generation)


def test_the_server_dies_with_the_process_that_started_it(fresh):
    [server] = psutil.Process(fresh.process.pid).children()

    fresh.process.send_signal(signal.SIGKILL)

    server.wait(timeout=10)
    assert not server.is_running()


def test_it_ends_by_itself_when_told_to(fresh):
    [server] = psutil.Process(fresh.process.pid).children()

    assert fresh.stop() == 0
    assert not server.is_running()


def test_a_server_that_dies_is_reported(fresh):
    [server] = psutil.Process(fresh.process.pid).children()

    server.kill()

    assert fresh.process.wait(timeout=10) == 1


def test_a_bucket_that_is_no_bucket_is_refused(tmp_path):
    command = storage_server(tmp_path).command

    run = subprocess.run(
        [*command, "--bucket", "../other"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert run.returncode == 1
    assert "expected a bucket name" in run.stderr
