"""Each peer's own environment, made from its pinned and hashed requirements."""

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements")

_SYSTEM_PYTHON = Path("/usr/bin/python3")
_NEEDS_SYSTEM_PYTHON = frozenset({"triton"})
"""Triton's backend loads the system's libpython, whose library must match it."""

_INSTALL_S = 1800.0


class VenvError(Exception):
    """An environment could not be made here."""


def make_venv(name: str, directory: Path, pins: Path = REQUIREMENTS) -> Path:
    """Return the environment's folder of programs; install what is missing.

    Args:
        name: Of the environment, and of its requirement file.
        directory: Where environments lie.
        pins: Where requirement files lie.

    Raises:
        VenvError: It cannot be installed here.
    """
    requirements = pins / f"{name}.txt"
    mark = directory / name / ".complete"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        _install(name, directory / name, requirements)
        mark.write_text(digest)
    return directory / name / "bin"


def installed_version(programs: Path, package: str) -> str:
    """Return the version of a package in an environment."""
    script = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    return _run([str(programs / "python"), "-c", script, package]).strip()


def _install(name: str, target: Path, requirements: Path) -> None:
    needs_system = name in _NEEDS_SYSTEM_PYTHON
    python = str(_SYSTEM_PYTHON) if needs_system else sys.executable
    uv = str(Path(sys.executable).with_name("uv"))
    interpreter = str(target / "bin" / "python")
    _run([uv, "venv", "--quiet", "--clear", "--python", python, str(target)])
    sync = (uv, "pip", "sync", "--quiet", "--require-hashes", "--python")
    _run([*sync, interpreter, str(requirements)])


def _run(command: list[str]) -> str:
    """Run a command and return what it prints.

    Raises:
        VenvError: It failed; the last line of what it said is the reason.
    """
    try:
        return subprocess.run(  # noqa: S603 - our own commands
            command, check=True, capture_output=True, text=True, timeout=_INSTALL_S
        ).stdout
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        raise VenvError(lines[-1].strip()) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VenvError(str(error)) from error
