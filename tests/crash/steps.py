"""The durable steps that real processes took, as the hook wrote them down."""

import base64
import json
import os
import pickle
import sys
from pathlib import Path

HOOK = Path(__file__).parent / "hook"


def fault_text(do, at, **more):
    """Write a fault as the hook reads it."""
    return json.dumps({"do": do, "at": at, **more})


def watched(environment, state_dir, *, log=None, fault="", flushes=True, role=""):
    """Return an environment in which every Python process is recorded or spoilt."""
    path = os.pathsep.join(filter(None, [str(HOOK), environment.get("PYTHONPATH", "")]))
    return {
        **environment,
        "PYTHONPATH": path,
        "CRASH_STATE_DIR": str(state_dir),
        "CRASH_FAULT": fault,
        "CRASH_ROLE": role,
        **({"CRASH_LOG": str(log)} if log else {}),
        **({} if flushes else {"CRASH_NO_FLUSH": "1"}),
    }


def read_log(log: Path):
    """Return who took which kind of step, and the steps, in their order."""
    lines = log.read_bytes().splitlines()
    return [pickle.loads(base64.b64decode(line)) for line in lines]


def materialise(tree, folder: Path, before=None):
    """Make the files of `tree` in `folder`, in which those of `before` lie."""
    before = before or {}
    for path in sorted(before.keys() - tree.keys(), reverse=True):
        remove(folder / path)
    for path in sorted(tree):
        if before.get(path) != tree[path]:
            make(folder / path, tree[path], is_there=path in before)


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def make(path, node, *, is_there):
    kind, *rest = node
    if is_there:
        remove(path)
    if kind == "directory":
        path.mkdir(rest[0])
    elif kind == "link":
        path.symlink_to(rest[0])
    else:
        mode, content = rest
        path.write_bytes(content)
        path.chmod(mode)


def read_tree(folder: Path):
    """Return what lies in `folder`, as `Disk.tree` does; sockets and locks apart."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", path.stat().st_mode & 0o777)
        elif path.is_file() and not name.endswith("lock"):
            found[name] = ("file", path.stat().st_mode & 0o777, path.read_bytes())
    return found


def python(*arguments):
    return [sys.executable, *arguments]
