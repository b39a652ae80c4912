"""Write into each wheel when it was built: no gateway's clock runs behind it."""

import os
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuiltAt(BuildHookInterface):
    """Adds `edge_runtime/built_at.txt`, in seconds since 1970."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the file, outside the tree; an editable wheel goes without."""
        if version == "editable":
            return
        # As reproducible builds have it: https://reproducible-builds.org/specs/
        seconds = os.environ.get("SOURCE_DATE_EPOCH") or f"{time.time():.0f}"
        path = Path(self.directory) / "built_at.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{seconds}\n", encoding="ascii")
        build_data["force_include"][str(path)] = "edge_runtime/built_at.txt"
