"""Nothing changes the state directory but `durable.py`: the source itself is read.

The crash matrix (tests/crash/) covers what it is told of. A file that somebody wrote,
moved or removed by another way would be in no record, and in no test.
"""

import ast
from pathlib import Path

import edge_runtime

SOURCE = Path(edge_runtime.__file__).parent

METHODS = {
    "chmod",
    "hardlink_to",
    "mkdir",
    "rename",
    "rmdir",
    "symlink_to",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
"""Of a path; `replace` too, with one argument: a text's takes two."""

FUNCTIONS = {
    "os": {
        "chmod", "fdatasync", "fsync", "ftruncate", "link", "makedirs", "mkdir",
        "posix_fallocate", "pwrite", "remove", "removedirs", "rename", "renames",
        "replace", "rmdir", "symlink", "sync", "truncate", "unlink",
    },
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move", "rmtree"},
}  # fmt: skip

FLAGS = {"O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC", "O_APPEND"}

ALLOWED = {
    ("__main__.py", "os.O_WRONLY"): "/dev/null, when nobody reads what we print",
    ("prediction_log/command.py", "os.O_WRONLY"): "likewise",
    ("prediction_log/segments.py", "os.O_CREAT"): "a lock; it holds nothing",
    ("prediction_log/segments.py", "os.O_RDWR"): "likewise",
    ("child.py", ".write_text"): "/proc: a process's name",
    ("worker.py", ".write_text"): "/proc: who goes first when memory is short",
    (
        "supervision/control.py",
        ".unlink",
    ): "a socket, which nobody looks for after a crash",
    ("supervision/control.py", ".chmod"): "likewise",
    ("serve.py", ".unlink"): "likewise",
    ("alone.py", "os.O_CREAT"): "a lock; it holds nothing",
    ("alone.py", "os.O_RDWR"): "likewise",
    ("live_requests.py", ".unlink"): "run/: a sample of requests, during a try",
    ("live_requests.py", "os.O_CREAT"): "likewise",
    ("live_requests.py", "os.O_WRONLY"): "likewise",
    ("agent/trial/feed.py", ".unlink"): "likewise",
    (
        "agent/trust/trusted_repository.py",
        ".mkdir",
    ): "the scratch copy that TUF works on",
    ("agent/trust/trusted_repository.py", ".unlink"): "likewise",
    ("agent/trust/trusted_repository.py", ".write_bytes"): "likewise",
    ("agent/trust/trusted_repository.py", "shutil.rmtree"): "likewise",
    ("agent/trial/try_out.py", ".write_bytes"): "a temporary folder",
    ("cloud.py", ".unlink"): "on Vertex AI the state is a temporary folder",
    ("cloud.py", "open(w)"): "likewise",
}
"""What is no state, by file: it may be lost, or torn, at any moment."""


def changes(tree):
    """Yield what in a module changes files, in one word each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_named(node.value, "os"):
            if node.attr in FUNCTIONS["os"] | FLAGS:
                yield f"os.{node.attr}"
        elif isinstance(node, ast.Attribute) and is_named(node.value, "shutil"):
            if node.attr in FUNCTIONS["shutil"]:
                yield f"shutil.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from calls(node)


def calls(node):
    function = node.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    if isinstance(function, ast.Attribute) and not is_named(function.value, "durable"):
        if name in METHODS and not is_named(function.value, "os"):
            yield f".{name}"
        if name == "replace" and len(node.args) == 1 and not node.keywords:
            yield ".replace"
    if name == "open" and set(mode_of(node)) & set("wax+"):
        yield "open(w)"


def mode_of(node):
    """Return the mode that a file is opened with, as far as it is written there."""
    values = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "mode")]
    texts = [v.value for v in values if isinstance(v, ast.Constant)]
    return next((t for t in texts if isinstance(t, str) and len(t) <= 3), "")


def is_named(node, name):
    return isinstance(node, ast.Name) and node.id == name


def found():
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        if name != "durable.py" and not name.startswith("bench/"):
            tree = ast.parse(path.read_text())
            yield from ((name, change) for change in changes(tree))


def test_state_is_changed_by_durable_steps_alone():
    bypasses = sorted(set(found()) - ALLOWED.keys())
    assert not bypasses, "use durable.py, or say in ALLOWED why it is no state"


def test_what_is_allowed_is_still_there():
    assert not ALLOWED.keys() - set(found())


def test_a_bypass_is_found_in_whatever_way_it_is_written():
    source = """
path.unlink()
path.replace(other)
os.rename(a, b)
shutil.rmtree(folder)
open(path, "wb")
path.open("a")
os.open(path, os.O_CREAT)
"text".replace("a", "b")
durable.unlink(path)
replace(memory, stage=stage)
"""
    assert sorted(changes(ast.parse(source))) == [
        ".replace", ".unlink", "open(w)", "open(w)", "os.O_CREAT", "os.rename",
        "shutil.rmtree",
    ]  # fmt: skip
