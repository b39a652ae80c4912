"""What must hold of a state directory, whatever moment it is found in.

Two looks. `History` needs no files: it has seen every content that each name was
given, so it tells a torn file anywhere, also of formats that it knows nothing of.
`observe` reads the directory with the product's own readers.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.identity.enroll import Identity
from edge_runtime.agent.memory import MemoryFile
from edge_runtime.agent.report import News, Spool
from edge_runtime.prediction_log.folder import segment_paths
from edge_runtime.prediction_log.frames import read_frames, read_header
from edge_runtime.slots import Slots
from packhorse.device_key import generate_key_pem, sign
from packhorse.report import DeviceState

MAY_BE_TORN = (".partial", ".part", ".plog")
"""Files that nobody believes by their name: their readers know how far they go."""

BEHIND_A_LINK = ("trust/", "slots/")
"""Folders that are filled before a link leads to them; then they must be whole."""

KEY = generate_key_pem()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """Every content that each name was given, up to a step."""

    def __init__(self):
        self._given = {}
        self._behind = {}
        self.newest_report = -1

    def note(self, step, tree):
        """Learn from a step and the tree after it."""
        name, *paths = step
        if name not in {"rename", "symlink", "fsync"}:
            return
        path = paths[1] if name == "rename" else paths[0]
        self._given.setdefault(path, set()).add(tree.get(path))
        if tree.get(path, "")[:1] == ("link",):
            self._behind.setdefault(path, set()).add(below(tree[path][1], tree))
        if path.startswith("spool/") and Path(path).name.split(".")[0].isdecimal():
            number = int(Path(path).name.split(".")[0])
            self.newest_report = max(self.newest_report, number)

    def check(self, tree):
        """Refuse a tree with a name that is torn, or that leads nowhere."""
        for path, node in tree.items():
            if node[0] == "directory" or path.endswith(MAY_BE_TORN):
                continue
            if node[0] == "link":
                found = below(node[1], tree)
                assert found in self._behind[path], f"{path} leads to half of {node[1]}"
            elif not path.startswith(BEHIND_A_LINK):
                assert node in self._given.get(path, ()), f"{path} holds {node!r:.200}"


def below(folder, tree):
    """Return all that lies in `folder`."""
    return frozenset(item for item in tree.items() if item[0].startswith(f"{folder}/"))


@dataclass(frozen=True)
class Observation:
    """What the product finds in a state directory.

    Attributes:
        active: The release that would serve, or None.
        trusted: The version of each trusted metadata file.
        accepted: The sequence of each accepted rollout document.
        floor: The instant that is past for certain.
        key: The device's key, or None before there is one.
    """

    active: str | None
    trusted: dict
    accepted: dict
    floor: datetime
    key: bytes | None
    is_enrolled: bool
    remembers: bool


def observe(state_dir: Path) -> Observation:
    """Read a state directory as the product does; refuse what it would stumble on."""
    active = Slots(state_dir).active()
    release = str(active.verify().release) if active else None
    memory = MemoryFile(state_dir / "agent" / "memory.json")
    blank = object()
    loaded = MemoryFile(memory.path, empty=blank).load()
    assert not (memory.path.exists() and loaded is blank), "the memory cannot be read"
    identity = Identity(state_dir, "gateway-1")
    _read_predictions(state_dir / "predictions")
    return Observation(
        active=release,
        trusted=_versions(state_dir / "trusted"),
        accepted=_sequences(state_dir / "rollouts"),
        floor=Clock(state_dir, built_at=lambda: EPOCH).floor,
        key=identity.key_pem if identity.key_file.exists() else None,
        is_enrolled=identity.is_enrolled,
        remembers=loaded is not blank,
    )


def next_report(spool: Path, scratch: Path) -> int:
    """Return the number that the next report would get; `spool` is left alone."""
    shutil.rmtree(scratch, ignore_errors=True)
    if spool.is_dir():
        shutil.copytree(spool, scratch)
    spooler = Spool(
        scratch, device="gateway-1", sign=lambda body: sign(KEY, body), clock=lambda: 0
    )
    return spooler.add(News(DeviceState.ENROLLED))


class Timeline:
    """Holds each state against what was, and against what would be without a cut."""

    def __init__(self):
        self._trusted = {}
        self._accepted = {}
        self._floor = EPOCH
        self._has_served = self._is_enrolled = self._remembers = False

    def note(self, durable: Observation):
        """Learn what from now on no power cut takes."""
        self._trusted |= _higher(durable.trusted, self._trusted)
        self._accepted |= _higher(durable.accepted, self._accepted)
        self._floor = max(self._floor, durable.floor)
        self._has_served |= durable.active is not None
        self._is_enrolled |= durable.is_enrolled
        self._remembers |= durable.remembers

    def check(self, found: Observation, durable: Observation, now: Observation):
        """Refuse what is neither the old nor the new, or less than was for sure."""
        assert found.active in {durable.active, now.active}
        assert found.active or not self._has_served, "nothing serves any more"
        assert found.trusted in (durable.trusted, now.trusted)
        for name, version in self._trusted.items():
            assert found.trusted.get(name, 0) >= version, f"{name} went back"
        for name, sequence in self._accepted.items():
            assert found.accepted.get(name, 0) >= sequence, f"{name} went back"
        assert found.floor >= self._floor, "the floor under time went back"
        assert found.key in {durable.key, now.key}
        assert found.key or not durable.key, "the device lost its key"
        assert found.is_enrolled or not self._is_enrolled
        assert found.remembers or not self._remembers, "the memory is gone"


def _versions(folder: Path) -> dict:
    if not folder.is_dir():
        return {}
    return {
        path.name: json.loads(path.read_bytes())["signed"]["version"]
        for path in sorted(folder.glob("*.json"))
    }


def _sequences(folder: Path) -> dict:
    return {
        path.name: json.loads(path.read_bytes())["sequence"]
        for path in sorted(folder.glob("[!.]*.json"))
    }


def _read_predictions(folder: Path) -> None:
    for _, path in segment_paths(folder) if folder.is_dir() else ():
        with path.open("rb") as file:
            header = read_header(file)
            if header is not None:
                list(read_frames(file, header))


def _higher(found: dict, known: dict) -> dict:
    return {name: value for name, value in found.items() if value > known.get(name, 0)}
