"""Real power cuts: a file system in a file, copied while it is in use.

The image is mounted through a loop device with `noauto_da_alloc`, so that ext4 does
not flush on its own what a program forgot to. At a cut every process is killed, and
then an unrelated file is flushed: that makes the journal commit all names, while
contents that nobody flushed are still only in memory, which is the worst that may
happen. What the image holds then is what the disk would; the copy is mounted,
its journal replayed, and what is found there is what the gateway wakes up with.

It takes root and loop devices.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 64 * 1024 * 1024


def why_not():
    """Return why this machine cannot do it, or an empty text."""
    if os.geteuid() != 0:
        return "mounting takes root"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4 is not installed"
    return ""


class Ext4:
    """A file system of its own, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path):
        self.image = image
        self.folder = folder
        folder.mkdir()

    @classmethod
    def made(cls, image: Path, folder: Path):
        with image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        return cls(image, folder)

    @contextmanager
    def mounted(self):
        options = "loop,noauto_da_alloc"
        run("mount", "-t", "ext4", "-o", options, str(self.image), str(self.folder))
        try:
            yield self.folder
        finally:
            run("umount", str(self.folder))

    def cut(self, image: Path, folder: Path, *, commit: bool):
        """Return what a power cut leaves now.

        With `commit` the journal writes its names first, as it does every five
        seconds, and whenever anybody flushes anything.
        """
        if commit:
            with (self.folder / "unrelated").open("wb") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
        shutil.copyfile(self.image, image)
        return Ext4(image, folder)


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)
