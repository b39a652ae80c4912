"""Check a bundle before anything of it is installed: its bytes, and its fit.

Only reads. The digest was checked while it was pulled; it is checked again here,
since this stage may run days later, after a power cut. What the model itself can
do is found out in `try_out.py`, in a process of its own.
"""

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

from edge_runtime.agent.errors import DamagedError, ReleaseRefusedError
from edge_runtime.agent.memory import Deployment
from packhorse.bundle import read_bundle
from packhorse.errors import MalformedError
from packhorse.manifest import Manifest, RuntimeNeeds

_KIND = "model"


def verify_bundle(path: Path, deployment: Deployment) -> Manifest:
    """Return the manifest of the bundle at `path` once it is known to fit.

    Raises:
        DamagedError: The file is not the bundle that was pulled.
        ReleaseRefusedError: It is, and must not run on this gateway.
    """
    _check_digest(path, deployment)
    manifest = _read_manifest(path, deployment)
    named = (manifest.release, manifest.variant)
    if named != (deployment.release, deployment.variant):
        raise ReleaseRefusedError(
            f"the bundle of {deployment.release} ({deployment.variant}) says that it"
            f" is {named[0]} ({named[1]})"
        )
    if manifest.kind != _KIND:
        raise ReleaseRefusedError(
            f"expected a bundle of the kind {_KIND}, got {manifest.kind}"
        )
    check_runtime(manifest.needs, version("onnxruntime"))
    return manifest


def check_runtime(needs: RuntimeNeeds, installed: str) -> None:
    """Refuse a bundle that the installed ONNX Runtime cannot run.

    Raises:
        ReleaseRefusedError: It lies outside the range that the manifest names.
    """
    have = _numbers(installed)
    if have < _numbers(needs.min_onnxruntime):
        raise ReleaseRefusedError(
            f"the bundle needs onnxruntime {needs.min_onnxruntime} or newer,"
            f" this gateway has {installed}"
        )
    if needs.max_onnxruntime and have > _numbers(needs.max_onnxruntime):
        raise ReleaseRefusedError(
            f"the bundle runs on onnxruntime up to {needs.max_onnxruntime},"
            f" this gateway has {installed}"
        )


def _check_digest(path: Path, deployment: Deployment) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DamagedError(f"the bundle of {deployment.release} is gone") from error
    if digest != deployment.bundle.sha256:
        raise DamagedError(
            f"the bundle of {deployment.release} should have SHA-256"
            f" {deployment.bundle.sha256}, the file has {digest}"
        )


def _read_manifest(path: Path, deployment: Deployment) -> Manifest:
    try:
        with path.open("rb") as file:
            limit_bytes = deployment.bundle.length_bytes
            return read_bundle(file, limit_bytes=limit_bytes).manifest
    except MalformedError as error:
        raise ReleaseRefusedError(f"the bundle is malformed: {error}") from error


def _numbers(text: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, `1.32.0` or `1.32.0.dev1`."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", text)[:3])
