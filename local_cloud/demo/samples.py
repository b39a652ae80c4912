"""Real input for the demo: this repository's own files, and what is right for them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from local_cloud.demo.magika import INPUT, OUTPUT, MagikaConfig, infer, stack_features

GOLDEN_FILES = (
    "LICENSE",
    "pyproject.toml",
    "main.py",
    "packhorse/bundle.py",
    "packhorse/golden.py",
    "edge_runtime/supervision/supervisor.py",
    "functions/predict.py",
    "local_cloud/demo/samples.py",
)
LIVE_FILES = (
    *GOLDEN_FILES[:4],
    "README.md",
    "Makefile",
    "CHANGELOG.md",
    "docs/protocol.md",
    "tests/system_packages.sh",
    "functions/deploy.yaml",
)
BAD_BYTE = ord("#")
"""No golden file begins so; Markdown, makefiles, scripts and our YAML do."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One file that the client keeps asking about.

    Attributes:
        body: The request, as the Open Inference Protocol has it.
        answers: By release, the scores that onnxruntime gives directly.
    """

    name: str
    body: bytes
    answers: Mapping[str, np.ndarray]


def golden_archive(model: bytes, features: np.ndarray) -> bytes:
    """Return golden samples made with onnxruntime, as npz.

    Args:
        model: The ONNX file's bytes.
        features: int32 of shape (files, 2048).
    """
    scores = infer(model, features)
    out = io.BytesIO()
    arrays = {f"input.{INPUT}": features, f"output.{OUTPUT}": scores}
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def read_files(root: Path, names: Sequence[str]) -> list[bytes]:
    """Read files of the repository."""
    return [(root / name).read_bytes() for name in names]


def live_files(
    root: Path, config: MagikaConfig, models: Mapping[str, bytes]
) -> list[LiveFile]:
    """Prepare what the client asks, and what each release must answer.

    Args:
        root: The checkout.
        config: How bytes become features.
        models: ONNX bytes by release.
    """
    features = stack_features(config, read_files(root, LIVE_FILES))
    scores = {release: infer(model, features) for release, model in models.items()}
    return [
        LiveFile(
            name,
            _request(features[index]),
            {release: rows[index] for release, rows in scores.items()},
        )
        for index, name in enumerate(LIVE_FILES)
    ]


def _request(features: np.ndarray) -> bytes:
    """Write one inference request in JSON, for int32 features of shape (2048,)."""
    data = ",".join(str(value) for value in features.tolist())
    shape = [1, len(features)]
    return (
        f'{{"inputs":[{{"name":"{INPUT}","shape":{shape},'
        f'"datatype":"INT32","data":[{data}]}}]}}'
    ).encode()
