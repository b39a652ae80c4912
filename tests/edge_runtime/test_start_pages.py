"""What a start needed is given back, and what was written stays."""

import ctypes
import json
import mmap
import subprocess
import sys
import textwrap

from edge_runtime.start_pages import give_back_start_pages
from tests.edge_runtime.gateways import ROOT
from tests.models import tiny_model

READ, READ_AND_WRITE = 1, 3


def run(code, *arguments):
    """Run a program in a process of its own; return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_memory_falls_and_a_model_answers_as_before(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model(1))
    code = """
        import json, sys
        import numpy as np, onnxruntime, psutil
        from edge_runtime.start_pages import give_back_start_pages

        def kept():
            return psutil.Process().memory_info().rss

        session = onnxruntime.InferenceSession(sys.argv[1])
        row = {"x": np.ones((1, 4), np.float32)}
        first = session.run(None, row)[0].tolist()
        before = kept()
        give_back_start_pages()
        after = kept()
        same = session.run(None, row)[0].tolist() == first
        print(json.dumps([before, after, kept(), same]))
        """

    before, after, again, is_same = run(code, str(path))

    assert is_same
    assert before - after > 15 * 1024**2
    assert before - again > 10 * 1024**2


def test_a_page_that_was_written_to_before_it_was_made_read_only_is_kept(tmp_path):
    path = tmp_path / "library"
    path.write_bytes(b"f" * 2 * mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with path.open("r+b") as file:
        flags = mmap.MAP_PRIVATE
        mapped = mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    mapped[:3] = b"new"
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    assert libc.mprotect(address, len(mapped), READ) == 0

    give_back_start_pages()

    assert mapped[:4] == b"newf"
    assert libc.mprotect(address, len(mapped), READ_AND_WRITE) == 0


def test_a_mapped_file_is_read_again_where_it_is_needed(tmp_path):
    path = tmp_path / "library"
    path.write_bytes(b"file" * mmap.PAGESIZE)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    assert mapped[:] == path.read_bytes()
    give_back_start_pages()
    assert mapped[:] == path.read_bytes()
