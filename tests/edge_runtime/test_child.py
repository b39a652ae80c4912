"""A forked process is itself alone, and its end is seen."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap

import pytest

from edge_runtime.child import Child
from tests.edge_runtime.gateways import ROOT


@pytest.fixture
def run():
    """Give a way to fork in a process without other threads, as a supervisor is."""

    def run(work, kept="()", before="", **settings):
        code = f"""
        import asyncio, os, random, signal, socket, sys, warnings
        from pathlib import Path
        from edge_runtime.child import fork

        def work():
            {work}

        async def main():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, loop.stop)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            listener = socket.create_server(("127.0.0.1", 0))
            {before}
            child = fork(work, name="a-child", kept={kept})
            code = await child.wait()
            listener.close()
            assert (child.returncode, loop.is_closed()) == (code, False)
            print("parent", os.getpid(), code)

        asyncio.run(main())
        """
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert done.stderr == ""
        *lines, last = done.stdout.splitlines()
        assert last.startswith("parent ")  # and no child came back to say so
        return lines, int(last.split()[2])

    return run


def test_its_exit_code_is_what_its_work_returns(run):
    assert run("return 7") == ([], 7)


def test_the_signal_that_ended_it_is_told(run):
    assert run("os.kill(os.getpid(), signal.SIGSEGV)")[1] == -11


@pytest.mark.parametrize(
    ("work", "kind"),
    [("1 / 0", "ZeroDivisionError"), ("sys.exit(0)", "SystemExit")],
)
def test_a_mistake_ends_it_and_is_logged_with_its_place(run, work, kind):
    (line,), code = run(work)
    said = json.loads(line)
    assert code == 1
    assert (said["event"], said["name"], said["kind"]) == (
        *("child_broke", "a-child"),
        kind,
    )
    assert said["place"].startswith("<string>:")


def test_it_has_no_descriptor_of_its_parent_but_those_that_it_keeps(run):
    work = (
        "print([n for n in range(99) if os.path.exists(f'/proc/self/fd/{n}')], KEPT)\n"
        "            return 0"
    )
    before = "global KEPT; KEPT = listener.fileno()"
    (line,), _ = run(work, kept="(KEPT,)", before=before)
    listing, kept = line.rsplit(" ", 1)
    assert json.loads(listing) == [0, 1, 2, int(kept)]


def test_it_reads_nothing_of_what_is_sent_to_its_parent(run):
    assert run("print(repr(sys.stdin.read())); return 0")[0] == ["''"]


def test_signals_are_its_own(run):
    work = (
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,"
        " signal.getsignal(signal.SIGINT) is signal.SIG_DFL,"
        " signal.set_wakeup_fd(-1), signal.pthread_sigmask(signal.SIG_BLOCK, ()),"
        " flush=True)\n"
        "            os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert run(work) == (["True True -1 set()"], -15)


def test_it_can_run_a_loop_of_its_own_while_its_parent_runs_one(run):
    work = (
        "print(asyncio.run(asyncio.sleep(0.01, 'slept')))\n"
        "            import uvloop\n"
        "            print(uvloop.run(asyncio.sleep(0.01, 'slept')))\n"
        "            import gc; gc.collect()\n"
        "            return 0"
    )
    assert run(work) == (["slept", "slept"], 0)


def test_it_has_a_name_and_random_numbers_of_its_own(run):
    work = (
        "print(Path('/proc/self/comm').read_text().strip(), random.random() != NEXT)\n"
        "            return 0"
    )
    before = (
        "global NEXT; state = random.getstate(); NEXT = random.random();"
        " random.setstate(state)"
    )
    assert run(work, before=before)[0] == ["a-child True"]


def spawn(*command):
    return os.posix_spawn(command[0], command, {})


@pytest.fixture
def without_pidfd(request, monkeypatch):
    """A kernel, or a container, in which no process has a descriptor."""
    if request.param:
        monkeypatch.delattr(os, "pidfd_open")


each_kernel = pytest.mark.parametrize(
    "without_pidfd", [False, True], indirect=True, ids=["pidfd", "no pidfd"]
)


@each_kernel
def test_everybody_who_waits_is_told_the_end(without_pidfd):
    async def see():
        child = Child(spawn("/bin/sleep", "60"))
        waiting = [asyncio.create_task(child.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        assert child.returncode is None
        child.terminate()
        assert await asyncio.gather(*waiting) == [-15, -15]
        assert (child.returncode, await child.wait()) == (-15, -15)
        child.kill()  # whoever has its id now is not meant

    asyncio.run(see())


@each_kernel
def test_a_child_that_has_ended_before_anybody_looks_is_seen(without_pidfd):
    pid = spawn("/bin/false")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    async def see():
        assert await Child(pid).wait() == 1

    asyncio.run(see())


def test_a_child_whose_status_somebody_else_took_has_ended():
    pid = spawn("/bin/false")
    os.waitpid(pid, 0)

    async def see():
        assert await Child(pid).wait() == 255

    asyncio.run(see())
