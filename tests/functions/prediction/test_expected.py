"""Which releases may answer: the pin, or the signed rollout."""

import asyncio

import pytest

from functions.adapters.rollout_reader import (
    ANSWER_MAX_BYTES,
    RolloutReader,
    SeenRollout,
)
from functions.adapters.upstream.client import Upstream
from functions.prediction import expected as module
from functions.prediction.expected import Expectations, Expected, expect
from functions.setting_values import RolloutSource
from tests.functions.adapters.rollout_bucket import (
    BUCKET,
    TIMESTAMP,
    BucketServer,
    SignedBucket,
    rollout,
)

ONE, TWO, THREE = "magika@1", "magika@2", "magika@3"


def seen(document, *, former=None, is_stale=False):
    return SeenRollout(document, former, is_stale)


def test_a_pin_is_the_only_release_that_may_answer():
    found = expect(TWO, seen(rollout(4, stable=1)))

    assert (found.releases, found.source) == (frozenset({TWO}), "pin")
    assert [found.is_unexpected(name) for name in (ONE, TWO, "")] == [True, False, True]
    assert found.is_to_refuse(ONE)
    assert not found.is_to_refuse(TWO)


def test_without_a_pin_both_releases_of_the_rollout_may_answer():
    found = expect("", seen(rollout(4, stable=1, candidate=2)))

    assert (found.releases, found.source) == (frozenset({ONE, TWO}), "rollout")
    assert (found.stable, found.candidate) == (ONE, TWO)
    assert found.rollout_id == "magika@2#1"
    assert [name for name in (ONE, TWO, THREE, "") if found.is_unexpected(name)] == [
        THREE,
        "",
    ]


@pytest.mark.parametrize(
    ("stable", "candidate"), [(1, None), (None, 1)], ids=["stable", "candidate"]
)
def test_a_rollout_of_one_release_expects_that_one(stable, candidate):
    found = expect("", seen(rollout(1, stable=stable, candidate=candidate)))

    assert found.releases == {ONE}


def test_a_model_with_neither_expects_nothing_and_counts_nothing():
    found = expect("", None)

    assert found == Expected()
    assert (found.source, found.is_unexpected(ONE)) == ("nothing", False)
    assert not found.is_to_refuse(ONE)


def test_a_rollout_that_offers_nothing_expects_nothing_but_what_it_withdrew():
    found = expect("", seen(rollout(4, stable=None, withdrawn=[2])))

    assert (found.source, found.releases) == ("nothing", frozenset())
    assert [name for name in (ONE, TWO) if found.is_unexpected(name)] == [TWO]
    assert [name for name in (ONE, TWO) if found.is_to_refuse(name)] == [TWO]


def test_a_pin_on_a_withdrawn_release_is_void():
    found = expect(TWO, seen(rollout(4, stable=1, withdrawn=[2])))

    assert (found.source, found.releases) == ("rollout", frozenset({ONE}))
    assert found.is_to_refuse(TWO)


def test_a_pin_needs_no_document_and_is_never_stale():
    assert expect(TWO, None).releases == {TWO}
    assert not expect(TWO, seen(rollout(1), is_stale=True)).is_stale


def test_the_releases_before_may_still_answer_for_a_while():
    found = expect("", seen(rollout(5, stable=2), former=rollout(4, candidate=2)))

    assert found.releases == {ONE, TWO}
    assert (found.stable, found.candidate) == (TWO, "")


def test_what_was_withdrawn_may_not_answer_although_it_was_offered_before():
    former = rollout(4, stable=1, candidate=2)
    found = expect("", seen(rollout(5, stable=1, withdrawn=[2]), former=former))

    assert found.releases == {ONE}
    assert found.is_unexpected(TWO)
    assert found.is_to_refuse(TWO)


def test_a_document_that_offers_nothing_is_not_held_to_the_one_before():
    found = expect("", seen(rollout(5, stable=None), former=rollout(4)))

    assert (found.source, found.is_unexpected(THREE)) == ("nothing", False)


def test_old_knowledge_counts_and_refuses_only_what_is_withdrawn():
    document = rollout(4, stable=1, withdrawn=[2])
    found = expect("", seen(document, is_stale=True))

    assert found.is_stale
    assert [name for name in (ONE, TWO, THREE) if found.is_unexpected(name)] == [
        TWO,
        THREE,
    ]
    assert [name for name in (ONE, TWO, THREE) if found.is_to_refuse(name)] == [TWO]


@pytest.fixture
def repository():
    made = SignedBucket()
    made.publish(rollout(1, stable=1))
    return made


@pytest.fixture
def server(repository):
    found = BucketServer(repository.objects)
    yield found
    found.stop()


@pytest.fixture
def ask(server, repository, tmp_path):
    """Run a coroutine that is given the expectations of a process."""
    root_file = tmp_path / "root.json"
    root_file.write_bytes(repository.first_root)
    source = RolloutSource(server.url, BUCKET, root_file, ("magika",))

    def run(play, **pins):
        async def main():
            upstream = Upstream(answer_max_bytes=ANSWER_MAX_BYTES)
            reader = RolloutReader(upstream, None, source, lambda event, fields: None)
            expectations = Expectations(pins, reader)
            try:
                return await play(expectations)
            finally:
                await expectations.close()
                await upstream.close()

        return asyncio.run(main())

    return run


def soon(seconds=30.0):
    return asyncio.get_running_loop().time() + seconds


def test_the_first_request_waits_for_the_document(ask):
    async def play(expectations):
        return await expectations.of("magika", deadline=soon())

    assert ask(play).releases == {ONE}


def test_a_look_that_began_with_the_request_is_the_one_that_is_waited_for(ask, server):
    async def play(expectations):
        expectations.begin()
        expectations.begin()
        return await expectations.of("magika", deadline=soon())

    assert ask(play).releases == {ONE}
    assert server.names().count(TIMESTAMP) == 1


def test_the_first_request_waits_no_longer_than_its_deadline(ask, server):
    server.open.clear()

    async def play(expectations):
        begun = asyncio.get_running_loop().time()
        found = await expectations.of("magika", deadline=soon(0.05))
        return found, asyncio.get_running_loop().time() - begun

    found, took_s = ask(play)

    assert found.source == "nothing"
    assert took_s < module.WAIT_S


def test_only_the_first_look_is_waited_for(ask, server):
    server.fault = 503

    async def play(expectations):
        first = await expectations.of("magika", deadline=soon())
        server.open.clear()
        begun = asyncio.get_running_loop().time()
        for _ in range(5):
            await expectations.of("magika", deadline=soon())
        return first, asyncio.get_running_loop().time() - begun

    first, took_s = ask(play)

    assert first.source == "nothing"
    assert took_s < module.WAIT_S


def test_a_pinned_model_waits_for_nobody_and_hears_of_a_withdrawal(
    ask, server, repository
):
    server.open.clear()

    async def play(expectations):
        first = await expectations.of("magika", deadline=soon())
        repository.publish(rollout(2, stable=1, withdrawn=[2]))
        server.open.set()
        async with asyncio.timeout(30):
            found = first
            while found == first:
                await asyncio.sleep(0.01)
                found = await expectations.of("magika", deadline=soon())
        return first, found

    first, found = ask(play, magika=TWO)

    assert (first.source, first.releases) == ("pin", frozenset({TWO}))
    assert (found.source, found.releases) == ("rollout", frozenset({ONE}))


def test_an_unknown_release_is_looked_for_before_it_is_called_unexpected(
    ask, server, repository
):
    async def play(expectations):
        await expectations.of("magika", deadline=soon())
        repository.publish(rollout(2, stable=1, candidate=2))
        before = await expectations.of("magika", deadline=soon(), answered=ONE)
        after = await expectations.of("magika", deadline=soon(), answered=TWO)
        return before, after

    before, after = ask(play)

    assert before.is_unexpected(TWO)
    assert not after.is_unexpected(TWO)


def test_each_unknown_release_is_looked_for_once_a_document(ask, server, repository):
    async def play(expectations):
        for _ in range(5):
            await expectations.of("magika", deadline=soon(), answered=TWO)
        once = server.names().count(TIMESTAMP)
        await expectations.of("magika", deadline=soon(), answered=THREE)
        another = server.names().count(TIMESTAMP)
        repository.publish(rollout(2, stable=1))
        await expectations.of("magika", deadline=soon(), answered="magika@4")
        server.names()
        found = await expectations.of("magika", deadline=soon(), answered=TWO)
        return once, another, server.names().count(TIMESTAMP), found

    once, another, anew, found = ask(play)

    # The first look, and one for the release.
    assert (once, another, anew) == (2, 1, 1)
    assert found.is_unexpected(TWO)


def test_nobody_is_looked_for_where_it_could_change_nothing(ask, server, repository):
    repository.publish(rollout(2, stable=1, withdrawn=[3]))

    async def play(expectations):
        await expectations.of("magika", deadline=soon())
        server.names()
        for answered in (ONE, THREE, ""):
            await expectations.of("magika", deadline=soon(), answered=answered)
        return server.names()

    assert ask(play) == []


def test_strange_releases_do_not_grow_what_is_remembered(ask, server):
    async def play(expectations):
        await expectations.of("magika", deadline=soon())
        for number in range(2, 3 * module.SURPRISES_MAX):
            answered = f"magika@{number}"
            await expectations.of("magika", deadline=soon(), answered=answered)
        return len(expectations._looked_for)  # noqa: SLF001 - memory has no other sign

    assert ask(play) <= module.SURPRISES_MAX


def test_a_function_that_follows_no_rollout_knows_its_pins():
    async def play():
        expectations = Expectations({"magika": TWO}, None)
        expectations.begin()
        pinned = await expectations.of("magika", deadline=soon(), answered=ONE)
        other = await expectations.of("digits", deadline=soon())
        await expectations.close()
        return pinned, other

    pinned, other = asyncio.run(play())

    assert (pinned.releases, other.source) == (frozenset({TWO}), "nothing")
