"""Refuse a model that would open files which are none of its own.

A model may keep weights in other files, and names them by path: a hostile one
names `../../device.key`. ONNX Runtime opens what it finds, so the paths are
looked at first.
"""

import re
import stat
from collections.abc import Iterable
from pathlib import Path

from edge_runtime.errors import ModelError
from packhorse.manifest import MEMBER_NAME


def check_external_data(path: Path, locations: Iterable[str]) -> None:
    """Refuse a model that would open files other than its bundle's members.

    Args:
        path: The model.
        locations: What it names as external data.

    Raises:
        ModelError: A location is no plain name, or no regular file beside `path`.
    """
    for location in sorted(locations):
        if re.fullmatch(MEMBER_NAME, location) is None:
            raise ModelError(
                "external data must be a plain member name of the bundle,"
                f" the model names {location[:80]!r}"
            )
        if not _is_regular(path.with_name(location)):
            raise ModelError(
                f"the model keeps weights in {location!r}, which the bundle lacks"
            )


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
