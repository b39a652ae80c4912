"""A real browser, headless: what a person sees of a page, and what it complains of."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    # What pages write to the console, refusals of the CSP among it.
    *("--enable-logging=stderr", "--v=0"),
)
PAGE_S = 60.0

DESKTOP = (1280, 1480)
PHONE = (390, 2400)


@dataclass(frozen=True)
class Look:
    """One look at a page.

    Attributes:
        text: What was written to standard output: the page, for `--dump-dom`.
        complaints: Lines that the page caused on the console.
    """

    text: str
    complaints: list[str]


class Browser:
    """Starts Chromium anew for every look, with an empty profile."""

    def __init__(self, directory):
        if not CHROMIUM.exists():
            pytest.skip("chromium is missing: apt-get install chromium")
        self._directory = directory
        self._looks = 0

    def dump(self, url):
        """Load a page and return what became of it."""
        return self._look(url, "--dump-dom")

    def picture(self, url, path, size, *, is_dark=False):
        """Take a picture of the page as it is on a screen of this size."""
        return self._look(
            url,
            f"--screenshot={path}",
            f"--window-size={size[0]},{size[1]}",
            f"--blink-settings=preferredColorScheme={0 if is_dark else 1}",
        )

    def _look(self, url, *flags):
        self._looks += 1
        profile = self._directory / f"profile-{self._looks}"
        run = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, url],
            capture_output=True,
            text=True,
            timeout=PAGE_S,
            check=True,
        )
        lines = run.stderr.splitlines()
        return Look(run.stdout, [line for line in lines if "CONSOLE" in line])


def png_size(path):
    """Return a PNG's width and height; its header holds them.

    Source: PNG specification, 11.2.1, IHDR
    """
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
