"""A process with many threads keeps few heaps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

THREADS = 8
CODE = f"""
import re, sys, threading
from pathlib import Path
from edge_runtime.arenas import limit_arenas
if "limit" in sys.argv:
    limit_arenas()
ready, done = threading.Barrier({THREADS + 1}), threading.Event()
def work():
    kept = [bytes(50_000) for _ in range(20)]
    ready.wait(); done.wait()
threads = [threading.Thread(target=work) for _ in range({THREADS})]
for thread in threads: thread.start()
ready.wait()
maps = Path("/proc/self/maps").read_text()
# A thread's heap begins at a multiple of 64 MiB.
print(len(re.findall(r"^[0-9a-f]+[048c]000000-[0-9a-f]+ rw-p", maps, re.M)))
done.set()
"""


def heaps(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_threads_share_their_heaps():
    assert heaps("limit") <= 1
    assert heaps() > 1
