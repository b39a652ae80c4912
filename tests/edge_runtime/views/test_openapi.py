"""The API document: exact routes, and schemas that say what the codecs do."""

import jsonschema
import pytest

from edge_runtime.settings.serve_settings import ContainerSettings
from edge_runtime.views.openapi import build_document
from packhorse.errors import PackhorseError
from packhorse.inference import v2, vertex
from packhorse.inference.signature import Signature
from packhorse.manifest import TensorSpec
from tests.edge_runtime.server_views import model_view, server_view

RICH = Signature(
    inputs={
        "picture": TensorSpec("picture", "UINT8", (-1, 2, 3)),
        "words": TensorSpec("words", "BYTES", (-1, -1)),
        "scale": TensorSpec("scale", "FP64", (-1,)),
        "mask": TensorSpec("mask", "BOOL", (-1, 1)),
    },
    outputs={
        "scores": TensorSpec("scores", "FP32", (-1, 5)),
        "ids": TensorSpec("ids", "INT64", (-1,)),
    },
    optional=frozenset({"mask"}),
)
CONTAINER = ContainerSettings("/health", "/predict", "gs://b/o", "0" * 64, "", "")


@pytest.fixture
def document():
    models = [
        model_view("tiny", "3"),
        model_view("tiny", "2", is_latest=False),
        model_view("rich", "1", signature=RICH),
    ]
    return build_document(server_view(*models, container=CONTAINER))


def validator(document, key):
    """Return what judges by one of the document's schemas."""
    schema = {
        "$ref": f"#/components/schemas/{key}",
        "components": document["components"],
    }
    return jsonschema.Draft202012Validator(schema)


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_schema_is_one(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document):
    for reference in set(references(document)):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references(value):
    """Yield what is referred to anywhere in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from references(part)


def test_models_have_their_routes_with_and_without_a_version(document):
    paths = document["paths"]
    for path in (
        "/v2/models/tiny/infer",
        "/v2/models/tiny/versions/3/infer",
        "/v2/models/tiny/versions/2/infer",
        "/v1/models/tiny:predict",
        "/predict",
    ):
        assert set(paths[path]) == {"post"}, path
    assert set(paths["/health"]) == {"get"}
    answer = paths["/v2/models/tiny/infer"]["post"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/tiny.3.InferAnswer"}


def test_every_operation_says_what_each_status_means(document):
    ids = set()
    for path, _, operation in operations(document):
        ids.add(operation["operationId"])
        assert operation["summary"].endswith("."), path
        assert {"200", "400", "408", "413", "503"} <= set(operation["responses"]), path
    assert len(ids) == len(list(operations(document)))
    for response in document["components"]["responses"].values():
        assert response["description"]


def test_a_server_that_wants_a_token_says_so():
    document = build_document(server_view(model_view(), needs_token=True))
    infer = document["paths"]["/v2/models/tiny/infer"]["post"]
    assert "401" in infer["responses"]
    assert infer["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_odd_names_become_paths_and_keys_that_are_allowed():
    document = build_document(server_view(model_view("a b/{c}")))
    assert "/v2/models/a%20b%2F%7Bc%7D/infer" in document["paths"]
    assert "a_b__c_.3.InferRequest" in document["components"]["schemas"]


@pytest.mark.parametrize("name", ["tiny.3", "rich.1"])
def test_the_examples_are_answered(document, name):
    signature = RICH if name == "rich.1" else model_view().signature
    schemas = document["components"]["schemas"]
    (infer,) = schemas[f"{name}.InferRequest"]["examples"]
    (predict,) = schemas[f"{name}.PredictRequest"]["examples"]
    assert validator(document, f"{name}.InferRequest").is_valid(infer)
    assert validator(document, f"{name}.PredictRequest").is_valid(predict)
    inputs = v2.decode_request(infer, signature).inputs
    assert set(inputs) == set(signature.inputs)
    assert vertex.decode_instances(predict, signature).count == 1


def tensor(name="x", datatype="FP32", shape=(1, 4), **parts):
    return {"name": name, "datatype": datatype, "shape": list(shape)} | (
        parts or {"data": [1, 2, 3, 4]}
    )


INFER = [
    {"inputs": [tensor()]},
    {"inputs": [tensor(data=[[1, 2, 3, 4]])], "id": "a", "outputs": [{"name": "y"}]},
    {"inputs": [tensor()], "parameters": {"timeout_ms": 5, "more": []}},
    {"inputs": [tensor()], "parameters": None, "outputs": None, "more": 1},
    {},
    {"inputs": []},
    {"inputs": [tensor(), tensor()]},
    {"inputs": [tensor("z")]},
    {"inputs": [tensor(datatype="FP64")]},
    {"inputs": [tensor(shape=[1, 5])]},
    {"inputs": [tensor(shape=[-1, 4])]},
    {"inputs": [tensor(data=["1", "2", "3", "4"])]},
    {"inputs": [tensor(data=[True, 2, 3, 4])]},
    {"inputs": [tensor(data=None)]},
    {"inputs": [tensor(more=1)]},
    {"inputs": [tensor()], "id": "x" * 257},
    {"inputs": [tensor()], "outputs": [{"name": "z"}]},
    {"inputs": [tensor()], "parameters": []},
    {"inputs": [tensor()], "parameters": {"timeout_ms": -1}},
    {"inputs": [tensor()], "parameters": {"timeout": "1"}},
    {"inputs": [tensor()], "parameters": {"binary_data_output": 1}},
    {"inputs": [tensor()], "parameters": {"classification": 2}},
]


@pytest.mark.parametrize("request_", INFER)
def test_the_schema_takes_what_the_codec_takes(document, request_):
    signature = model_view().signature
    is_valid = validator(document, "tiny.3.InferRequest").is_valid(request_)
    assert is_valid is decodes(v2.decode_request, request_, signature)


PREDICT = [
    {"instances": [[1, 2, 3, 4]]},
    {"instances": [{"x": [1, 2, 3, 4]}], "parameters": {"timeout_ms": 10}},
    {"instances": [{"b64": "AAAAAAAAAAAAAAAAAAAAAA=="}]},
    {"instances": []},
    {"instances": [1]},
    {"instances": [[1, 2, 3]]},
    {"instances": [{}]},
    {"instances": [{"x": {}}]},
    {"instances": [{"z": [1, 2, 3, 4]}]},
    {"instances": [["1", "2", "3", "4"]]},
    {"inputs": []},
]


@pytest.mark.parametrize("request_", PREDICT)
def test_the_schema_takes_the_instances_that_the_codec_takes(document, request_):
    signature = model_view().signature
    is_valid = validator(document, "tiny.3.PredictRequest").is_valid(request_)
    assert is_valid is decodes(vertex.decode_instances, request_, signature)


def decodes(decode, request_, signature):
    try:
        decode(request_, signature)
    except PackhorseError:
        return False
    return True
