"""What lies on the disk of the model: what it has for sure, and what was done since."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class File:
    """A file: what the disk has for sure, and what was done since."""

    mode: int
    synced: bytes = b""
    content: bytes = b""
    pending: list = field(default_factory=list)

    def write(self, offset, body):
        self.pending.append(("write", offset, body))
        self.content = written(self.content, offset, body)

    def resize(self, length, *, shrink):
        self.pending.append(("resize", length, shrink))
        self.content = resized(self.content, length, shrink)

    def flush(self):
        self.synced = self.content
        self.pending = []

    def variants(self):
        """Return every content that may be found, the one of now first."""
        found = {self.content: None}
        if self.pending:
            found[self.synced] = None
            found[self._redone(self.pending[:-1])] = None
            found[self._redone([*self.pending[:-1], torn(self.pending[-1])])] = None
            found[self._redone([zeroed(change) for change in self.pending])] = None
            holes = [zeroed(change) for change in self.pending[:-1]]
            found[self._redone([*holes, self.pending[-1]])] = None
        return list(found)

    def _redone(self, changes):
        content = self.synced
        for kind, *arguments in changes:
            content = (written if kind == "write" else resized)(content, *arguments)
        return content


def written(content, offset, body):
    content = content.ljust(offset, b"\0")
    return content[:offset] + body + content[offset + len(body) :]


def resized(content, length, shrink):
    if len(content) < length:
        return content.ljust(length, b"\0")
    return content[:length] if shrink else content


def torn(change):
    kind, *arguments = change
    if kind != "write":
        return change
    offset, body = arguments
    return ("write", offset, body[: len(body) // 2])


def zeroed(change):
    kind, *arguments = change
    if kind != "write":
        return change
    offset, body = arguments
    return ("write", offset, bytes(len(body)))


@dataclass(frozen=True, eq=False)
class Link:
    """A symbolic link; it never changes, only its name does."""

    points_to: str


@dataclass(eq=False)
class Directory:
    """The names that are in it now, and those that are for sure."""

    mode: int
    names: dict = field(default_factory=dict)
    synced: dict = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Change:
    """Names of one directory that change together; None removes one."""

    directory: Directory
    names: dict
    needs: "Change | None" = None

    def meets(self, other):
        return self.needs is other or (
            self.directory is other.directory and self.names.keys() & other.names.keys()
        )
