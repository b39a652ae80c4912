"""Models directories, made on the spot."""

import numpy as np

from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import encode_manifest


def put(models_dir, name, version, model, *, golden=None, manifest=None):
    """Write one version of a model; return its directory."""
    place = models_dir / name / str(version)
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.onnx").write_bytes(model)
    if golden is not None:
        (place / "golden.npz").write_bytes(write_golden(golden))
    if manifest is not None:
        (place / "manifest.json").write_bytes(encode_manifest(manifest))
    return place


def golden(inputs, outputs):
    """Return golden samples of plain values."""
    return GoldenSamples(
        {name: np.asarray(value) for name, value in inputs.items()},
        {name: np.asarray(value) for name, value in outputs.items()},
    )
