"""Everything that tritonclient's synchronous HTTP client can ask of a server."""

import contextlib
import http.client
import sys

import numpy as np
import tritonclient.http as triton
from google.protobuf.json_format import MessageToDict, ParseDict
from samples import TYPES, bfloats, each_type, odd_numbers, pack, rows
from steps import answers, run_steps
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size={}"


def tensor(name, array, *, binary=True):
    """Return one input."""
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return given.set_data_from_numpy(array, binary_data=binary)


def wanted(names, *, binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def all_types(json_types=()):
    """Return inputs of every type; those named in JSON, the others in binary."""
    arrays = each_type()
    return [
        tensor(f"in_{name}", array, binary=name not in json_types)
        for name, array in arrays.items()
    ]


OUTPUTS = [f"out_{name}" for name in each_type()]


def health(client):
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "tiny": client.is_model_ready("tiny"),
        "tiny 1": client.is_model_ready("tiny", "1"),
        "tiny 9": client.is_model_ready("tiny", "9"),
        "nobody": client.is_model_ready("nobody"),
    }


def server_metadata(client):
    return client.get_server_metadata()


def model_metadata(client):
    return [
        client.get_model_metadata("tiny"),
        client.get_model_metadata("tiny", "1"),
        client.get_model_metadata("types"),
    ]


def metadata_of_nobody(client):
    return client.get_model_metadata("nobody")


def model_config(client):
    """Read configurations as Triton's own message, which refuses unknown fields."""
    names = ("tiny", "types", "scalar", "constant")
    messages = {n: ParseDict(client.get_model_config(n), ModelConfig()) for n in names}
    return {name: MessageToDict(message) for name, message in messages.items()}


def config_of_version(client):
    return client.get_model_config("tiny", "1")["version_policy"]


def _statistics(client, *names):
    document = client.get_inference_statistics(*names)
    ParseDict(document, ModelStatisticsResponse())
    return document["model_stats"]


def statistics(client):
    """Say what two requests, one good and one bad, change."""
    (before,) = _statistics(client, "pair")
    pair_in_json(client)
    with contextlib.suppress(InferenceServerException):
        client.infer("pair", [tensor("a", np.zeros((1, 2), np.int64))])
    (after,) = _statistics(client, "pair", "1")
    return {"before": before, "after": after}


def statistics_of_all(client):
    every = [(s["name"], s["version"]) for s in _statistics(client)]
    tiny = [s["version"] for s in _statistics(client, "tiny")]
    return {"every": sorted(every), "tiny": tiny}


def repository_index(client):
    return client.get_model_repository_index()


def load(client):
    return client.load_model("tiny")


def unload(client):
    return client.unload_model("tiny")


def types_in_binary(client):
    return answers(client.infer("types", all_types()), OUTPUTS)


def types_in_json(client):
    outputs = wanted(OUTPUTS, binary=False)
    return answers(client.infer("types", all_types(TYPES), outputs=outputs), OUTPUTS)


def bfloats_both_ways(client):
    """BF16 goes out in binary: the client writes no JSON for it. It reads both."""
    given, names = [tensor("x", bfloats())], ["same", "wide"]
    return [
        answers(client.infer("bfloats", given, outputs=wanted(names, binary=b)), names)
        for b in (True, False)
    ]


def mixed_in_and_out(client):
    outputs = wanted(OUTPUTS[::2], binary=True) + wanted(OUTPUTS[1::2], binary=False)
    result = client.infer("types", all_types(list(TYPES)[::2]), outputs=outputs)
    return answers(result, OUTPUTS)


def odd_numbers_and_empty_tensors(client):
    inputs = {name: array[:0] for name, array in each_type().items()}
    inputs["FP32"] = odd_numbers()
    given = [tensor(f"in_{name}", array) for name, array in inputs.items()]
    return answers(client.infer("types", given), OUTPUTS)


def requested_outputs(client):
    inputs = [tensor(name, np.array([[5, 3]])) for name in ("a", "b")]
    outputs = wanted(["difference"], binary=True)
    return client.infer("pair", inputs, outputs=outputs).get_response()


def pair_in_json(client):
    a = np.array([[2**53 + 1, -(2**62)]])
    b = np.array([[2, 2**62 - 1]])
    inputs = [tensor("a", a, binary=False), tensor("b", b, binary=False)]
    outputs = wanted(["sum", "difference"], binary=False)
    return answers(client.infer("pair", inputs, outputs=outputs), ["sum", "difference"])


def scalar(client):
    x = np.array(1 / 3)
    inputs = [tensor("x", x)], [tensor("x", x, binary=False)]
    return [answers(client.infer("scalar", given), ["y"]) for given in inputs]


def constant(client):
    return answers(client.infer("constant", []), ["y"])


def texts(client):
    text = np.array([b"a", "\u00fc".encode(), b""], np.object_)
    given = [tensor("text", text)], [tensor("text", text, binary=False)]
    return [answers(client.infer("twice", inputs), ["twice"]) for inputs in given]


def versions(client):
    inputs = [tensor("x", rows())]
    return [
        answers(client.infer("tiny", inputs, model_version=version), ["y"])
        for version in ("", "1", "2")
    ]


def id_and_parameters(client):
    result = client.infer(
        "tiny",
        [tensor("x", rows())],
        request_id="number 7",
        priority=3,
        timeout=30_000_000,
        sequence_id=5,
        sequence_start=True,
        parameters={"who": "the tests", "count": 2, "is_it": True},
        headers={"X-Own": "1"},
        query_params={"a": "b c"},
    )
    return {"response": result.get_response(), **answers(result, ["y"])}


def compressed(client):
    """Compress requests and answers in every combination."""
    codings = (None, "gzip", "deflate")
    return {
        f"{there} {back} {binary}": answers(
            client.infer(
                "tiny",
                [tensor("x", rows(500), binary=binary)],
                outputs=wanted(["y"], binary=binary),
                request_compression_algorithm=there,
                response_compression_algorithm=back,
            ),
            ["y"],
        )
        for there in codings
        for back in codings
        for binary in (True, False)
    }


def refused_while_compressed(client):
    """Errors must come as they are: the client would not take a coding off."""
    return client.infer(
        "tiny",
        [tensor("x", np.zeros((1, 500), np.float32))],
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )


def wrong_datatype(client):
    return client.infer("tiny", [tensor("x", np.zeros((1, 4)))])


def infer_of_nobody(client):
    return client.infer("nobody", [tensor("x", rows())])


def many_at_once(client):
    asked = [
        client.async_infer("tiny", [tensor("x", rows(1, seed))], request_id=str(seed))
        for seed in range(16)
    ]
    results = [request.get_result(timeout=20) for request in asked]
    return [(r.get_response()["id"], pack(r.as_numpy("y"))) for r in results]


def refused_later(client):
    return client.async_infer("tiny", []).get_result(timeout=20)


def shared_memory(client):
    return client.get_system_shared_memory_status()


def trace_settings(client):
    return client.get_trace_settings()


def own_transport(client):
    """Write and read bodies with the client, and carry them as Vertex AI does."""
    body, json_bytes = client.generate_request_body([tensor("x", rows())])
    connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
    headers = {"Content-Type": BINARY.format(json_bytes)}
    connection.request("POST", "/v2/models/tiny/infer", body, headers)
    reply = connection.getresponse()
    length = reply.headers["Inference-Header-Content-Length"]
    result = client.parse_response_body(reply.read(), header_length=length)
    connection.close()
    return answers(result, ["y"])


STEPS = [
    *(health, server_metadata, model_metadata, metadata_of_nobody),
    *(model_config, config_of_version, statistics, statistics_of_all),
    *(repository_index, load, unload),
    *(types_in_binary, types_in_json, bfloats_both_ways, mixed_in_and_out),
    *(odd_numbers_and_empty_tensors, requested_outputs, pair_in_json),
    *(scalar, constant, texts, versions, id_and_parameters),
    *(compressed, refused_while_compressed, wrong_datatype, infer_of_nobody),
    *(many_at_once, refused_later, shared_memory, trace_settings, own_transport),
]

if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1], concurrency=4) as client:
        run_steps(STEPS, InferenceServerException, client)
