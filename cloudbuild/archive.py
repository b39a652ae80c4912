"""`python -m cloudbuild.archive FUNCTION`: what is uploaded to deploy a function.

The builder takes a source whose root has `main.py` and `requirements.txt`, and
compiles every `.py` in it. So the archive holds the functions, what they share
with the gateways, and the function's own requirement file under that name; no
tests, no gateway, no stand-ins. The same files give the same bytes, whenever and
wherever the archive is made.

Source: buildpacks, `python/functions_framework`; ZIP APPNOTE, 4.4.6
"""

import argparse
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("functions", "packhorse")
_LEFT_OUT = (PurePosixPath("packhorse/cli"),)
"""The operator's command, which no function imports."""

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The first that a ZIP can say: when a file was written is not part of it."""

_REGULAR_FILE = 0o100644 << 16


class ArchiveError(Exception):
    """There is nothing to make an archive of."""


def deployed_files(function: str, root: Path = ROOT) -> Mapping[str, Path]:
    """Return the files of a function's archive, by their names in it.

    Raises:
        ArchiveError: `functions/deploy.yaml` lists no such function.
    """
    listed = yaml.safe_load((root / "functions" / "deploy.yaml").read_text())
    entry = listed["functions"].get(function)
    if entry is None:
        raise ArchiveError(f"functions/deploy.yaml lists no function {function!r}")
    found = {"main.py": root / "main.py", "LICENSE": root / "LICENSE"}
    found["requirements.txt"] = root / str(entry["requirements"])
    for package in _PACKAGES:
        for name in _package_files(root, package):
            found[str(name)] = root / name
    return dict(sorted(found.items()))


def write_archive(function: str, target: Path, root: Path = ROOT) -> None:
    """Write a function's archive.

    Raises:
        ArchiveError: There is no such function.
    """
    files = deployed_files(function, root)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            member = zipfile.ZipInfo(name, _NO_TIME)
            member.external_attr = _REGULAR_FILE
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _package_files(root: Path, package: str) -> Iterator[PurePosixPath]:
    """Find the files of a package, but for what Python makes of them."""
    for path in (root / package).rglob("*"):
        name = PurePosixPath(path.relative_to(root).as_posix())
        is_made = "__pycache__" in name.parts or name.suffix == ".pyc"
        is_left_out = any(name.is_relative_to(folder) for folder in _LEFT_OUT)
        if path.is_file() and not is_made and not is_left_out:
            yield name


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudbuild.archive",
        description="Write what is uploaded to deploy a function.",
        epilog="example: python -m cloudbuild.archive predict --out predict.zip",
    )
    parser.add_argument("function", help="its name in functions/deploy.yaml")
    parser.add_argument("--out", type=Path, help="[.build/deploy/FUNCTION.zip]")
    arguments = parser.parse_args()
    target = arguments.out or ROOT / ".build" / "deploy" / f"{arguments.function}.zip"
    try:
        write_archive(arguments.function, target)
    except (ArchiveError, OSError) as error:
        sys.stderr.write(f"archive: {error}\n")
        return 1
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
