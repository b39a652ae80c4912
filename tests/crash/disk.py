"""What a power cut may leave: a model of a disk that has not written everything.

The model knows what POSIX promises and nothing more (docs/adr/0015): contents are
there once the file was flushed, a name once its directory was. Until then

- what was written to a file may be missing, be zeros, end in the middle, or have
  only its end there; a truncated file may have its old length;
- of the changes of names any subset may be there in which a change comes with
  those before it that touch the same name. Renaming within a directory is one
  change; between two, the new name may be there before the old one is gone.

`Disk.states` gives each distinct content of the state directory that may be found.
"""

import itertools
import random

from tests.crash.nodes import Change, Directory, File, Link

SUBSETS_MAX = 512
"""Of more pending changes than this allows, all prefixes, all but one, each alone,
and a drawn rest."""

FILES_MAX = 3
"""Files with unflushed contents of which each may be as it was or as it is now."""


class Disk:
    """The state directory, as the steps make it."""

    def __init__(self):
        self.root = Directory(0o755)
        self.pending = []

    def take(self, step):
        """Do one recorded step."""
        name, *arguments = step
        getattr(self, f"_{name}")(*arguments)

    def tree(self):
        """Return the content of now: that of a process killed here."""
        found = walk(self.root, lambda folder: folder.names)
        return {path: described(node) for path, node in found}

    def durable_tree(self):
        """Return what is there for sure, and nothing of what is not."""
        found = walk(self.root, lambda folder: folder.synced)
        return {
            path: described(node, node.synced if isinstance(node, File) else None)
            for path, node in found
        }

    def hollow_tree(self):
        """Return every name that is there now, with the contents that were flushed."""
        found = walk(self.root, lambda folder: folder.names)
        return {
            path: described(node, node.synced if isinstance(node, File) else None)
            for path, node in found
        }

    def states(self):
        """Yield every content that a power cut may leave here, once each."""
        seen = set()
        for changes in self._subsets():
            for tree in self._trees(changes):
                key = frozenset(tree.items())
                if key not in seen:
                    seen.add(key)
                    yield tree

    # Steps.

    def _create(self, path, mode):
        folder, name = self._place(path)
        existing = folder.names.get(name)
        if existing is None:
            self._change(folder, {name: File(mode)})
        else:
            existing.resize(0, shrink=True)

    def _allocate(self, path, length):
        self._at(path).resize(length, shrink=False)

    def _truncate(self, path, length):
        file = self._at(path)
        if file is not None:
            file.resize(length, shrink=True)

    def _write(self, path, offset, body):
        file = self._at(path)
        if file is not None:  # else it was removed under who still writes to it
            file.write(offset, body)

    def _fsync(self, path):
        file = self._at(path)
        if file is not None:
            file.flush()

    def _symlink(self, path, points_to):
        folder, name = self._place(path)
        self._change(folder, {name: Link(points_to)})

    def _mkdir(self, path, mode):
        folder, name = self._place(path)
        if name not in folder.names:
            self._change(folder, {name: Directory(mode)})

    def _unlink(self, path):
        folder, name = self._place(path)
        if name in folder.names:
            self._change(folder, {name: None})

    _rmdir = _unlink

    def _rename(self, source, target):
        old, old_name = self._place(source)
        new, new_name = self._place(target)
        node = old.names[old_name]
        if old is new:
            self._change(old, {old_name: None, new_name: node})
            return
        made = self._change(new, {new_name: node})
        self._change(old, {old_name: None}, needs=made)

    def _fsync_dir(self, path):
        folder = self._at(path)
        if folder is None:
            return
        folder.synced = dict(folder.names)
        alive = self._reachable() - {folder}
        self.pending = [c for c in self.pending if c.directory in alive]

    def _reachable(self):
        """Return the directories that a path may still lead to."""
        found, left = set(), [self.root]
        while left:
            folder = left.pop()
            found.add(folder)
            pending = [c.names for c in self.pending if c.directory is folder]
            for names in (folder.names, folder.synced, *pending):
                left += [
                    node
                    for node in names.values()
                    if isinstance(node, Directory) and node not in found
                ]
        return found

    def _change(self, folder, names, needs=None):
        change = Change(folder, names, needs)
        self.pending.append(change)
        apply(folder.names, names)
        return change

    def _place(self, path):
        parent, _, name = path.rpartition("/")
        return self._at(parent or "."), name

    def _at(self, path):
        node = self.root
        for part in path.split("/"):
            if part != ".":
                node = node.names.get(part)
            if node is None:
                return None
        return node

    # What may be left.

    def _subsets(self):
        """Yield consistent subsets of the pending changes, all of them if few."""
        count = len(self.pending)
        for mask in masks_of(count):
            chosen = [c for i, c in enumerate(self.pending) if mask >> i & 1]
            left = [(i, c) for i, c in enumerate(self.pending) if not mask >> i & 1]
            if not any(
                later.meets(missing)
                for i, missing in left
                for j, later in enumerate(self.pending)
                if j > i and mask >> j & 1
            ):
                yield chosen

    def _trees(self, changes):
        """Yield the trees with these names, and every content of unflushed files."""
        names = {}
        for change in changes:
            folder = change.directory
            apply(names.setdefault(folder, dict(folder.synced)), change.names)
        found = list(walk(self.root, lambda folder: names.get(folder, folder.synced)))
        files = [node for _, node in found if isinstance(node, File) and node.pending]
        for chosen in combinations_of(files):
            yield {path: described(node, chosen.get(node)) for path, node in found}


def walk(folder, names_of, prefix=""):
    """Yield every path below a directory, and what is there."""
    for name, node in names_of(folder).items():
        yield f"{prefix}{name}", node
        if isinstance(node, Directory):
            yield from walk(node, names_of, f"{prefix}{name}/")


def described(node, content=None):
    """Return what is at a path, as a value: its kind, and what it holds."""
    if isinstance(node, Directory):
        return ("directory", node.mode)
    if isinstance(node, Link):
        return ("link", node.points_to)
    return ("file", node.mode, node.content if content is None else content)


def combinations_of(files):
    """Yield what unflushed files may hold together.

    All combinations of old and new contents, and each file torn in every way
    beside others that are all new, and all old.
    """
    new = {file: file.content for file in files}
    old = {file: file.synced for file in files}
    few, rest = files[-FILES_MAX:], files[:-FILES_MAX]
    for contents in itertools.product(*({f.content, f.synced} for f in few)):
        chosen = dict(zip(few, contents, strict=True))
        yield chosen | {file: file.content for file in rest}
    for file in files:
        for torn_one in file.variants():
            yield new | {file: torn_one}
            yield old | {file: torn_one}


def apply(names, changes):
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def masks_of(count):
    """Return which changes are there, as bits: the least first, all last."""
    if 1 << count <= SUBSETS_MAX:
        return range(1 << count)
    whole = (1 << count) - 1
    masks = {(1 << i) - 1 for i in range(count + 1)}
    masks |= {1 << i for i in range(count)} | {whole & ~(1 << i) for i in range(count)}
    draw = random.Random(count)
    while len(masks) < SUBSETS_MAX:
        masks.add(draw.getrandbits(count))
    return sorted(masks)
