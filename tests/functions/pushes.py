"""Models that tests push, and the push itself: plain OCI, by hand."""

import hashlib
import io

import numpy as np
import onnx
import requests
from onnx import TensorProto, helper, numpy_helper

from packhorse.golden import GoldenSamples, write_golden
from packhorse.model_card import ModelCard, encode_card
from packhorse.names import Release
from packhorse.pushed_model import (
    OCI_MANIFEST_TYPE,
    Layer,
    Role,
    encode_config,
    encode_pushed_manifest,
)

REPOSITORY = "europe-west4-docker.pkg.dev/demo/models"
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2) / 7


def node(op_type="MatMul", inputs=("x", "w"), outputs=("y",), **attributes):
    return helper.make_node(op_type, list(inputs), list(outputs), **attributes)


def model(*nodes, initializers=None, opset=17, ir_version=8, **options):
    """Return a model from x [N,3] to y [N,2]."""
    if initializers is None:
        initializers = [numpy_helper.from_array(WEIGHTS, "w")]
    graph = helper.make_graph(
        list(nodes) or [node()],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        initializers,
    )
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", [])]
    made = helper.make_model(graph, opset_imports=opsets, **options)
    made.ir_version = ir_version
    return made


def external(location="weights.bin", **entries):
    """Return the weights as a tensor whose bytes lie in another file."""
    tensor = numpy_helper.from_array(WEIGHTS, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def golden(outputs=None, count=4):
    x = np.linspace(-1, 1, count * 3, dtype=np.float32).reshape(count, 3)
    return write_golden(
        GoldenSamples({"x": x}, {"y": x @ WEIGHTS if outputs is None else outputs})
    )


def files(onnx_model=None, samples=None, **others):
    """Return the files of a push by name; a good model unless told otherwise."""
    body = model() if onnx_model is None else onnx_model
    if isinstance(body, onnx.ModelProto):
        body = body.SerializeToString(deterministic=True)
    found = {"model.onnx": body, "golden.npz": samples or golden()}
    return found | {name.replace("_", "."): data for name, data in others.items()}


def card(name="digits", **options):
    return ModelCard(name, "team", "Apache-2.0", **options)


def push(url, content, *, release, model_card=None, image=None):
    """Put a model into the registry at `url` and return its manifest's digest."""
    model_card = model_card or card(release.model)
    content = content | {"card.json": encode_card(model_card)}
    path = f"{url}/v2/demo/models/{image or release.model}"
    layers = [describe(name, body) for name, body in content.items()]
    config = encode_config(model_card, release.version, layers)
    for body in (config, *content.values()):
        put_blob(path, body)
    manifest = encode_pushed_manifest(release, config, layers)
    return put_manifest(path, manifest)


def describe(name, body):
    roles = {
        "model.onnx": Role.MODEL,
        "golden.npz": Role.GOLDEN,
        "card.json": Role.CARD,
    }
    return Layer(roles.get(name, Role.EXTERNAL_DATA), name, digest_of(body), len(body))


def put_blob(path, body):
    start = requests.post(f"{path}/blobs/uploads/", timeout=10)
    assert start.status_code == 202
    done = requests.put(
        start.headers["Location"],
        params={"digest": digest_of(body)},
        data=body,
        timeout=30,
    )
    assert done.status_code == 201


def put_manifest(path, manifest):
    digest = digest_of(manifest)
    done = requests.put(
        f"{path}/manifests/{digest}",
        data=manifest,
        headers={"Content-Type": OCI_MANIFEST_TYPE},
        timeout=10,
    )
    assert done.status_code == 201, done.text
    return digest


def tamper(folder, body):
    """Flip a byte of a blob that the registry has stored in `folder`."""
    tamper_digest(folder, digest_of(body))


def tamper_digest(folder, digest):
    name = digest.removeprefix("sha256:")
    blob = folder / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"
    body = blob.read_bytes()
    middle = len(body) // 2
    blob.write_bytes(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def pickled_npz():
    """Return an npz whose array is a pickle, which must never be loaded."""
    out = io.BytesIO()
    np.savez(out, **{"input.x": np.array([{"a": 1}], dtype=object)})
    return out.getvalue()


def bomb_npz():
    """Return a small npz that unpacks to 100 MB."""
    out = io.BytesIO()
    np.savez_compressed(out, **{"input.x": np.zeros((100, 250_000), np.float32)})
    return out.getvalue()


RELEASE = Release("digits", 1)
