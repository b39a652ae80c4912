"""The signed rollout documents, as the prediction function follows them."""

import asyncio
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from functions.adapters import rollout_reader
from functions.adapters.rollout_reader import ANSWER_MAX_BYTES, LOOK_S, RolloutReader
from functions.adapters.upstream.client import Upstream
from functions.setting_values import RolloutSource
from local_cloud.ports import free_port
from tests.functions.adapters.rollout_bucket import (
    BUCKET,
    TIMESTAMP,
    BucketServer,
    SignedBucket,
    rollout,
)


class SteppingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test can put forward."""

    ahead_s = 0.0

    def time(self):
        return super().time() + self.ahead_s


@pytest.fixture
def run():
    with asyncio.Runner(loop_factory=SteppingLoop) as runner:
        yield runner.run


def step(seconds):
    asyncio.get_running_loop().ahead_s += seconds


@pytest.fixture
def repository():
    made = SignedBucket()
    made.publish(rollout(1))
    return made


@pytest.fixture
def server(repository):
    found = BucketServer(repository.objects)
    yield found
    found.stop()


@pytest.fixture
def root_file(repository, tmp_path):
    path = tmp_path / "root.json"
    path.write_bytes(repository.first_root)
    return path


class Opened:
    """A reader with a connection of its own, for the length of a block."""

    def __init__(self, source, noted, *, token=None):
        def note(event, fields):
            noted.append({"event": event, **fields})

        self.source = source
        self.upstream = Upstream(answer_max_bytes=ANSWER_MAX_BYTES)
        self.reader = RolloutReader(self.upstream, token, source, note)

    async def __aenter__(self):
        return self.reader

    async def __aexit__(self, *error):
        await self.reader.close()
        await self.upstream.close()


@pytest.fixture
def noted():
    """What was logged."""
    return []


@pytest.fixture
def opened(server, root_file, noted):
    def make(*, models=("magika",), token=None):
        source = RolloutSource(server.url, BUCKET, root_file, models)
        return Opened(source, noted, token=token)

    return make


async def look(reader):
    """Look once, to the end."""
    reader.look()
    await reader.wait(30)
    return reader.seen("magika")


def test_a_document_is_followed_from_the_shipped_root(run, repository, server, opened):
    repository.publish(rollout(2, candidate=2, withdrawn=[7]))

    async def ask():
        async with opened() as reader:
            return reader.seen("magika"), await look(reader)

    before, seen = run(ask())

    assert before is None
    assert seen.document == rollout(2, candidate=2, withdrawn=[7])
    assert (seen.former, seen.is_stale) == (None, False)
    assert ("metadata/timestamp.json", 200) in server.asked


def test_a_steady_look_is_one_question(run, server, opened):
    async def ask():
        async with opened() as reader:
            await look(reader)
            server.asked.clear()
            return await look(reader)

    assert run(ask()).document.sequence == 1
    assert server.asked == [(TIMESTAMP, 304)]


def test_a_bucket_that_knows_no_conditions_costs_the_same_question(run, server, opened):
    server.is_plain = True

    async def ask():
        async with opened() as reader:
            await look(reader)
            server.asked.clear()
            return reader.revision, await look(reader), reader.revision

    before, seen, after = run(ask())

    assert server.asked == [(TIMESTAMP, 200)]
    assert seen.document.sequence == 1
    assert before == after == 1


def test_a_new_timestamp_alone_costs_it_and_the_question_for_a_root(
    run, repository, server, opened
):
    async def ask():
        async with opened() as reader:
            await look(reader)
            repository.stamp()
            server.asked.clear()
            return await look(reader)

    assert not run(ask()).is_stale
    assert server.asked == [(TIMESTAMP, 200), ("metadata/2.root.json", 404)]


def test_a_look_is_begun_every_thirty_seconds_and_never_by_two(run, server, opened):
    async def ask():
        async with opened() as reader:
            await look(reader)
            server.asked.clear()
            for _ in range(3):
                step(9.9)
                reader.poll()
                await reader.wait(30)
            early = list(server.asked)
            step(0.4)
            for _ in range(50):
                reader.poll()
            await reader.wait(30)
            reader.poll()
            await reader.wait(30)
            return early

    assert run(ask()) == []
    assert server.asked == [(TIMESTAMP, 304)]


def test_a_new_document_names_the_one_before_for_two_minutes(run, repository, opened):
    async def ask():
        async with opened() as reader:
            await look(reader)
            repository.publish(rollout(2, stable=2))
            soon = await look(reader)
            step(121)
            return soon, reader.seen("magika")

    soon, late = run(ask())

    assert soon.document == late.document == rollout(2, stable=2)
    assert soon.former == rollout(1)
    assert late.former is None


def test_several_models_are_followed_by_one_look(run, repository, server, opened):
    repository.publish(rollout(1), rollout(5, model="digits"))

    async def ask():
        async with opened(models=("magika", "digits", "iris")) as reader:
            await look(reader)
            return [reader.seen(model) for model in ("magika", "digits", "iris")]

    magika, digits, iris = run(ask())

    assert (magika.document.sequence, digits.document.sequence) == (1, 5)
    assert iris is None
    assert server.names().count(TIMESTAMP) == 1


def test_a_bucket_that_is_away_leaves_the_last_document_in_force_and_is_logged_once(
    run, server, opened, noted
):
    async def ask():
        async with opened() as reader:
            await look(reader)
            server.fault = 503
            seen = [await look(reader) for _ in range(3)]
            server.fault = 0
            return [*seen, await look(reader)]

    seen = run(ask())

    assert [each.document.sequence for each in seen] == [1, 1, 1, 1]
    assert [each.is_stale for each in seen] == [True, True, True, False]
    logged = [(line["event"], line.get("severity")) for line in noted]
    assert logged == [
        ("rollout followed", None),
        ("rollouts not read", "WARNING"),
        ("rollouts read again", "NOTICE"),
    ]


def test_what_is_followed_is_logged_with_its_releases(run, repository, opened, noted):
    repository.publish(rollout(2, candidate=2))

    async def ask():
        async with opened() as reader:
            await look(reader)

    run(ask())

    (line,) = noted
    assert (line["model"], line["sequence"]) == ("magika", 2)
    assert (line["stable"], line["candidate"]) == ("magika@1", "magika@2")


def test_a_bucket_that_takes_no_connection_is_logged_without_its_address(
    run, root_file, noted
):
    port = free_port()
    source = RolloutSource(f"http://127.0.0.1:{port}", BUCKET, root_file, ("magika",))

    async def ask():
        async with Opened(source, noted) as reader:
            return await look(reader), reader.has_looked

    assert run(ask()) == (None, True)
    (line,) = noted
    assert line["event"] == "rollouts not read"
    assert str(port) not in str(line)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_no_status_of_the_bucket_is_taken_for_a_document(run, server, opened, status):
    server.fault = status

    async def ask():
        async with opened() as reader:
            seen = await look(reader)
            return seen, reader.has_looked

    assert run(ask()) == (None, True)


def test_a_304_to_a_question_without_condition_means_nothing(run, server, opened):
    server.fault = 304

    async def ask():
        async with opened() as reader:
            return await look(reader)

    assert run(ask()) is None


def test_a_root_file_that_is_not_there_names_the_setting(
    run, server, opened, root_file, noted
):
    root_file.unlink()

    async def ask():
        async with opened() as reader:
            return await look(reader)

    assert run(ask()) is None
    assert "TRUST_ROOT_FILE" in noted[0]["reason"]


def write_no_metadata(repository):
    repository.objects[TIMESTAMP] = b"{}"


def write_a_timestamp_without_end(repository):
    repository.objects[TIMESTAMP] = b" " * 16_385


def vouch_for_no_document(repository):
    repository.put("rollouts/magika.json", b"[]")
    repository.name("rollouts")


@pytest.mark.parametrize(
    "attack", [write_no_metadata, write_a_timestamp_without_end, vouch_for_no_document]
)
def test_what_is_refused_leaves_the_last_document_in_force(
    run, repository, opened, noted, attack
):
    async def ask():
        async with opened() as reader:
            await look(reader)
            attack(repository)
            return await look(reader)

    seen = run(ask())

    assert (seen.document, seen.is_stale) == (rollout(1), True)
    assert [line["event"] for line in noted] == [
        "rollout followed",
        "rollouts not read",
    ]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "rollouts"])
def test_what_has_expired_is_still_told_and_called_stale(run, repository, opened, role):
    async def ask():
        async with opened() as reader:
            await look(reader)
            repository.expire(role)
            return await look(reader)

    seen = run(ask())

    assert (seen.document.sequence, seen.is_stale) == (1, True)


def test_it_expires_while_the_process_runs(run, repository, opened):
    async def ask():
        async with opened() as reader:
            repository.expire("timestamp", in_s=2)
            fresh = (await look(reader)).is_stale
            deadline = time.monotonic() + 10
            while not reader.seen("magika").is_stale:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            return fresh

    assert run(ask()) is False


def test_nobody_waits_longer_than_he_said_and_the_look_goes_on(run, server, opened):
    server.open.clear()

    async def ask():
        async with opened() as reader:
            reader.look()
            await reader.wait(0.05)
            early = reader.seen("magika"), reader.has_looked
            server.open.set()
            await reader.wait(30)
            return early, reader.seen("magika").document.sequence

    assert run(ask()) == ((None, False), 1)


def test_a_look_that_had_no_processor_says_nothing_of_the_bucket(
    run, server, opened, noted
):
    async def ask():
        async with opened() as reader:
            await look(reader)
            server.served.clear()
            server.open.clear()
            step(31)
            reader.poll()
            await asyncio.to_thread(server.served.wait, 10)
            step(LOOK_S + 60)
            await reader.wait(30)
            frozen = reader.seen("magika").is_stale
            server.open.set()
            reader.poll()
            await reader.wait(30)
            return frozen, reader.seen("magika").is_stale

    assert run(ask()) == (False, False)
    assert [line["event"] for line in noted] == ["rollout followed"]


def test_a_bucket_that_answers_never_fails_the_look_in_time(
    run, server, opened, monkeypatch, noted
):
    monkeypatch.setattr(rollout_reader, "LOOK_S", 0.2)
    server.open.clear()

    async def ask():
        async with opened() as reader:
            return await look(reader), reader.has_looked

    assert run(ask()) == (None, True)
    assert noted[0]["cause"] == ""


def test_another_reason_is_logged_again(run, repository, server, opened, noted):
    async def ask():
        async with opened() as reader:
            await look(reader)
            server.fault = 503
            await look(reader)
            server.fault = 0
            write_no_metadata(repository)
            await look(reader)
            await look(reader)

    run(ask())

    events = [line["event"] for line in noted]
    assert events == ["rollout followed", "rollouts not read", "rollouts not read"]


def test_a_look_that_crashes_is_told_and_leaves_the_next_one_possible(
    run, server, root_file
):
    noted = []

    def note(event, fields):
        if not noted and event == "rollout followed":
            noted.append(None)
            raise RuntimeError("a secret")
        noted.append({"event": event, **fields})

    async def ask():
        opened = Opened(RolloutSource(server.url, BUCKET, root_file, ("magika",)), [])
        opened.reader = RolloutReader(opened.upstream, None, opened.source, note)
        async with opened as reader:
            await look(reader)
            return reader.has_looked, await look(reader)

    has_looked, seen = run(ask())

    assert has_looked
    assert not seen.is_stale
    told = noted[1]
    assert (told["reason"], told["cause"]) == ("the look crashed", "RuntimeError")
    assert "secret" not in str(told)


def test_a_closed_reader_leaves_no_task(run, server, opened):
    server.open.clear()

    async def ask():
        async with opened() as reader:
            reader.look()
            await reader.wait(0.05)
        return len(asyncio.all_tasks())

    assert run(ask()) == 1


class Token:
    """A token, and what was forgotten of it."""

    def __init__(self):
        self.forgotten = []

    async def value(self):
        return b"Bearer t0ken"

    def forget(self, value):
        self.forgotten.append(value)


def test_the_token_is_shown_and_forgotten_when_it_is_refused(run, server, opened):
    token = Token()

    async def ask():
        async with opened(token=token) as reader:
            await look(reader)
            server.fault = 401
            await look(reader)

    run(ask())

    assert set(server.tokens) == {"Bearer t0ken"}
    assert token.forgotten == [b"Bearer t0ken"]


class NoToken(Token):
    """One that is never to be had."""

    async def value(self):
        await asyncio.Event().wait()


def test_a_token_that_does_not_come_ends_the_look_in_time(
    run, server, opened, monkeypatch, noted
):
    monkeypatch.setattr(rollout_reader, "LOOK_S", 0.1)

    async def ask():
        async with opened(token=NoToken()) as reader:
            return await look(reader), reader.has_looked

    assert run(ask()) == (None, True)
    assert "credential" in noted[0]["reason"]
    assert server.asked == []


def test_the_real_storage_server_is_read_with_its_own_names(
    run, repository, store, storage_url, bucket, root_file, noted
):
    for name, body in repository.objects.items():
        assert store.write_if_generation(name, body, 0)

    source = RolloutSource(storage_url, bucket, root_file, ("magika",))

    async def ask():
        async with Opened(source, noted) as reader:
            first = await look(reader)
            return first, await look(reader)

    first, second = run(ask())

    assert first == second
    assert first.document == rollout(1)


def test_nothing_heavy_is_imported_before_there_is_something_to_verify():
    program = (
        "import sys, functions.adapters.rollout_reader, functions.prediction.expected\n"
        "heavy = {'tuf', 'securesystemslib', 'numpy', 'requests'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    root = Path(importlib.import_module("functions").__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )

    assert ran.stdout.strip() == "[]"
