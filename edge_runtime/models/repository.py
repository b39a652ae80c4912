"""A directory of models beside the gateway's own release.

    <models_dir>/<name>/<version>/model.onnx       and the files of its weights
    <models_dir>/<name>/<version>/golden.npz       its golden samples, where it has any
    <models_dir>/<name>/<version>/manifest.json    its manifest, likewise

This is Triton's layout. Directories with other names are not models: a version
is a number, and Triton's `config.pbtxt` is not read. Names from requests are
matched before they come near a path.

Whoever may write here may have this process compute what they like. Nothing here
is signed, unlike a release in a slot; a model's own files can reach no others.

Source: Triton, "Model Repository"
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edge_runtime.errors import UnknownModelError
from packhorse.manifest import MODEL_FILE

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
"""A model's name, as people of other servers write them: no path, no leading dot."""
VERSION = r"[1-9][0-9]{0,8}"

LISTED_MAX = 1000
"""Versions that are looked for at all: more are a directory of something else."""


Key = tuple[str, str]
"""A model's name and version."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One version of a model on disk."""

    name: str
    version: str
    path: Path

    @property
    def key(self) -> Key:
        """Return name and version."""
        return self.name, self.version

    def size_bytes(self) -> int:
        """Return how long its files are together; 0 when they cannot be read."""
        try:
            files = [path.stat() for path in self.path.iterdir()]
        except OSError:
            return 0
        return sum(file.st_size for file in files if stat.S_ISREG(file.st_mode))


@dataclass(frozen=True, slots=True)
class Repository:
    """The models in one directory."""

    path: Path

    def all(self) -> list[StoredModel]:
        """Return every version of every model, in order; at most `LISTED_MAX`."""
        names = sorted(_names(self.path, NAME))
        stored = (model for name in names for model in self._versions(name))
        return list(islice(stored, LISTED_MAX))

    def size_bytes(self) -> int:
        """Return how long the files of all models are together."""
        return sum(model.size_bytes() for model in self.all())

    def versions(self, name: str) -> list[StoredModel]:
        """Return every version of one model, the oldest first.

        Raises:
            UnknownModelError: There is none of that name.
        """
        stored = self._versions(name) if re.fullmatch(NAME, name) else []
        if not stored:
            raise UnknownModelError(
                f"expected <name>/<version>/{MODEL_FILE} in the models directory,"
                f" there is none for {name[:80]!r}"
            )
        return stored

    def _versions(self, name: str) -> list[StoredModel]:
        place = self.path / name
        versions = sorted(_names(place, VERSION), key=int)
        stored = [StoredModel(name, version, place / version) for version in versions]
        return [model for model in stored if (model.path / MODEL_FILE).is_file()]


def _names(path: Path, pattern: str) -> Iterator[str]:
    """Yield the names of directories that match; none where `path` is no directory."""
    try:
        entries = list(path.iterdir())
    except OSError:
        return
    for entry in entries:
        if re.fullmatch(pattern, entry.name) and entry.is_dir():
            yield entry.name
