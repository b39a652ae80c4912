"""Jobs in threads come back to the event loop, whatever becomes of them."""

import asyncio
import threading

import pytest

from edge_runtime.threads import Threads


@pytest.fixture
def threads():
    threads = Threads(2, "test", 3)
    yield threads
    threads.shut_down()


def outcome_of(threads, job):
    """Hand a job over; return a future of what it came to, or raised."""
    future = asyncio.get_running_loop().create_future()
    threads.do(job, future.set_result, future.set_exception)
    return future


def test_a_job_comes_back_with_what_it_came_to(threads):
    async def main():
        names = outcome_of(threads, lambda: threading.current_thread().name)
        return await names, threads.unfinished

    name, unfinished = asyncio.run(main())
    assert name.startswith("test")
    assert unfinished == 0


def test_a_job_that_raises_comes_back_as_well(threads):
    async def main():
        with pytest.raises(MemoryError):
            await outcome_of(threads, lambda: bytearray(2**62))
        return threads.unfinished

    assert asyncio.run(main()) == 0


def test_one_job_too_many_is_refused_at_once(threads):
    async def main():
        go_on = threading.Event()
        jobs = [outcome_of(threads, go_on.wait) for _ in range(4)]
        refused = [job.done() for job in jobs]
        go_on.set()
        with pytest.raises(RuntimeError, match="too many"):
            await jobs.pop()
        assert await asyncio.gather(*jobs) == [True] * 3
        return refused

    assert asyncio.run(main()) == [False, False, False, True]


def test_where_there_is_no_memory_for_threads_a_later_job_may_find_it(threads):
    async def main():
        before = threading.stack_size(2**46)  # more than any machine maps
        try:
            with pytest.raises(RuntimeError, match="thread"):
                await outcome_of(threads, int)
        finally:
            threading.stack_size(before)
        return await outcome_of(threads, int), threads.unfinished

    assert asyncio.run(main()) == (0, 0)


def test_after_the_end_every_job_is_refused(threads):
    async def main():
        threads.shut_down()
        with pytest.raises(RuntimeError, match="ends"):
            await outcome_of(threads, int)

    asyncio.run(main())
