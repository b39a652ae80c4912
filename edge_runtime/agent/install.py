"""Unpack a bundle into the inactive slot, every byte flushed before it counts.

The slot is emptied first, so this can be done again at any time; its marker is
written last. Names come from the manifest and are plain (packhorse/manifest.py);
the slot checks them once more.
"""

import contextlib
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import DamagedError, ReleaseRefusedError
from edge_runtime.slots import Slot
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from packhorse.errors import MalformedError


def install_bundle(path: Path, slot: Slot) -> None:
    """Install the bundle at `path` into `slot`.

    Raises:
        DamagedError: The file is gone.
        ReleaseRefusedError: A member is not what the manifest says.
        OSError: The disk is full, or failed; the slot counts as empty.
    """
    slot.clear()
    try:
        _unpack(path, slot)
    except OSError:
        # What was unpacked would be missing where the failure is to be reported.
        with contextlib.suppress(OSError):
            slot.clear()
        raise


def _unpack(path: Path, slot: Slot) -> None:
    try:
        with path.open("rb") as file:
            reader = read_bundle(file, limit_bytes=BUNDLE_MAX_BYTES)
            for member, chunks in reader.members():
                durable.write_file(slot.member_path(member.name), chunks)
    except FileNotFoundError as error:
        raise DamagedError("the bundle is gone") from error
    except MalformedError as error:
        raise ReleaseRefusedError(f"the bundle is malformed: {error}") from error
    slot.seal(reader.manifest)
