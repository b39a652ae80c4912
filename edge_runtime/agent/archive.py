"""Keep the bundles of releases that served here, and collect them by rule.

    <state>/archive/<model>@<version>.<variant>.<sha256>.bundle

A bundle comes here by one rename once it is installed, and goes back by one when
its release is wanted again, so an older release costs no download. The rule:

- the bundles of the active and the previous release do not go for the budget;
- what was withdrawn goes at once;
- of the rest the lowest versions go first, until all together fit the budget;
- when a download finds no room, the rest goes altogether; if that is not enough,
  the bundles of the active and the previous release too, never their slots: on a
  small disk the copies would keep every release to come away.

Without a budget nothing is kept here: the two slots hold the active and the
previous release whole, whatever the archive does.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import durable
from packhorse.errors import PackhorseError
from packhorse.names import Release, parse_release

_NAME = re.compile(
    r"(?P<release>.+@[0-9]+)\.(?P<variant>[^.]+)\.(?P<sha256>[0-9a-f]{64})\.bundle"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One bundle in the archive."""

    release: Release
    sha256: str
    path: Path
    length_bytes: int


def to_collect(
    kept: Iterable[Kept], needed: Collection[Release | None], *, budget_bytes: int
) -> list[Kept]:
    """Return what goes, the lowest version first.

    Args:
        kept: All that is there.
        needed: The active and the previous release, which do not go for it.
        budget_bytes: What all together may take.
    """
    kept = sorted(kept, key=lambda one: (one.release.version, one.sha256))
    excess_bytes = sum(one.length_bytes for one in kept) - budget_bytes
    going = []
    for one in kept:
        if excess_bytes > 0 and one.release not in needed:
            going.append(one)
            excess_bytes -= one.length_bytes
    return going


@dataclass(frozen=True, slots=True)
class Archive:
    """The folder of kept bundles.

    Attributes:
        budget_bytes: What they may take together; 0 keeps none.
    """

    folder: Path
    budget_bytes: int

    def take_in(self, bundle: Path, release: Release, variant: str) -> None:
        """Keep the bundle at `bundle`, a verified and installed one, for later.

        Where there is no budget it is removed.
        """
        if not bundle.is_file():
            return
        if not self.budget_bytes:
            durable.unlink(bundle)
            return
        durable.make_dir(self.folder)
        # A bundle is named by its digest, and its digest was verified.
        durable.rename(bundle, self.folder / f"{release}.{variant}.{bundle.name}")

    def give_back(self, sha256: str, path: Path) -> bool:
        """Move the bundle with that digest to `path`; say whether there was one."""
        for one in self.kept():
            if one.sha256 == sha256:
                durable.make_dir(path.parent)
                durable.rename(one.path, path)
                return True
        return False

    def collect(self, needed: Collection[Release | None]) -> None:
        """Remove what is over the budget, and what is no bundle at all."""
        kept = self.kept()
        known = {one.path for one in kept}
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path not in known:
                    durable.remove_tree(path)
        self._remove(to_collect(kept, needed, budget_bytes=self.budget_bytes))

    def make_room(self, needed: Collection[Release | None]) -> bool:
        """Remove what is not needed, or else all; say whether anything went.

        A gateway that cannot take the next release is worse off than one that must
        download an old one again; what is needed lies whole in the slots.
        """
        kept = self.kept()
        going = to_collect(kept, needed, budget_bytes=0) or kept
        self._remove(going)
        return bool(going)

    def discard(self, withdrawn: Collection[Release]) -> None:
        """Remove what nobody may run."""
        self._remove([one for one in self.kept() if one.release in withdrawn])

    def kept(self) -> list[Kept]:
        """Return what is there."""
        if not self.folder.is_dir():
            return []
        found = [_read_name(path) for path in sorted(self.folder.iterdir())]
        return [one for one in found if one is not None]

    def _remove(self, going: Iterable[Kept]) -> None:
        for one in going:
            durable.unlink(one.path)


def _read_name(path: Path) -> Kept | None:
    """Return what a file's name says that it is, or None."""
    named = _NAME.fullmatch(path.name)
    if named is None or path.is_symlink() or not path.is_file():
        return None
    try:
        release = parse_release(named["release"])
    except PackhorseError:
        return None
    return Kept(release, named["sha256"], path, path.stat().st_size)
