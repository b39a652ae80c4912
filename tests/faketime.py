"""Programs that see another time of day than this machine does."""

import os
from pathlib import Path

import pytest


def at(instant: str) -> dict[str, str]:
    """Return the environment of programs that are started at `instant`.

    Only what they read off the wall is moved; what they measure is not.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("faketime is missing: apt-get install faketime")
    return {
        "LD_PRELOAD": f"{library} {os.environ.get('LD_PRELOAD', '')}".strip(),
        "FAKETIME": f"@{instant}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "TZ": "UTC",
    }
