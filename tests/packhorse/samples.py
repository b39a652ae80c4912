"""Small manifests, bundles and golden samples for the format tests."""

import hashlib
import io

import numpy as np

from packhorse.bundle import write_bundle
from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import Manifest, Member, RuntimeNeeds, TensorSpec
from packhorse.names import Release
from packhorse.tolerance import Tolerance

MODEL = b"a model, as far as the format is concerned" * 20


def golden(count=3):
    inputs = {"x": np.arange(count * 2, dtype=np.float32).reshape(count, 2)}
    return GoldenSamples(inputs=inputs, outputs={"y": inputs["x"] * 2})


def member(name, body):
    return Member(name, len(body), hashlib.sha256(body).hexdigest())


def contents():
    return {"model.onnx": MODEL, "golden.npz": write_golden(golden())}


def manifest(**changes):
    fields = {
        "release": Release("magika", 2),
        "variant": "fp32",
        "source_digest": "sha256:" + "a" * 64,
        "members": tuple(member(n, b) for n, b in contents().items()),
        "inputs": (TensorSpec("x", "FP32", (-1, 2)),),
        "outputs": (TensorSpec("y", "FP32", (-1, 2)),),
        "needs": RuntimeNeeds(8, {"": 15}, "1.17.0"),
        "tolerances": {"y": Tolerance(1e-5, 1e-4)},
    }
    return Manifest(**fields | changes)


def bundle():
    out = io.BytesIO()
    streams = {name: io.BytesIO(body) for name, body in contents().items()}
    write_bundle(manifest(), streams, out)
    return out.getvalue()
