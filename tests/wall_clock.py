"""Start programs that see another time of day than this machine does.

OpenSSL asks libc for the time, so nothing in Python can tell it another one. A
library is loaded before libc that answers instead, for the time of day alone:
`faketime`, which does the same and more, breaks Python's own waiting.
"""

import os
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


def started_at(instant: datetime, folder: Path) -> dict[str, str]:
    """Return the environment of programs for which it is `instant` now.

    Args:
        instant: An aware datetime.
        folder: Where to keep the library; a test's `tmp_path`.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a compiler is missing: apt-get install gcc libc6-dev")
    library = folder / "wall_clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    before = os.environ.get("LD_PRELOAD", "")
    return {
        "LD_PRELOAD": f"{library} {before}".strip(),
        "WALL_CLOCK_BEHIND_S": str(round(time.time() - instant.timestamp())),
    }
