"""One life, recorded once, and room for its states that no disk slows down."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.crash.life import Life

RAM = Path("/dev/shm")


def fast_folder():
    return Path(
        tempfile.mkdtemp(prefix="packhorse-crash-", dir=RAM if RAM.is_dir() else None)
    )


@pytest.fixture(scope="session")
def life():
    folder = fast_folder()
    try:
        yield Life(folder / "life").live()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def ram():
    folder = fast_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
