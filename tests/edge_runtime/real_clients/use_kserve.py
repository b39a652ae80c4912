"""What kserve's InferenceRESTClient asks, by both of its protocols."""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from samples import TYPES, bfloats, each_type, pack, rows
from steps import tell

MODEL = "tiny"


def tensor(name, array, datatype, *, binary):
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def packed(response):
    return {output.name: pack(output.as_numpy()) for output in response.outputs}


async def refusal(asked):
    """Return how the client reports that it was refused."""
    try:
        return await asked
    except httpx.HTTPStatusError as error:
        return str(error).partition(" for url")[0]


async def use_v1(client, url):
    instances = {"instances": rows().tolist()}
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_model_ready(url, MODEL),
        "nobody": await refusal(client.is_model_ready(url, "nobody")),
        "predict": await client.infer(url, instances, model_name=MODEL),
        "wrong": await refusal(client.infer(url, {"instances": 5}, model_name=MODEL)),
    }


async def types(client, url, *, binary):
    arrays = each_type()
    inputs = [
        tensor(f"in_{name}", arrays[name], name, binary=binary or name == "FP16")
        for name in TYPES
    ]
    outputs = [
        RequestedOutput(f"out_{name}", {"binary_data": binary}) for name in TYPES
    ]
    request = InferRequest("types", inputs, request_outputs=outputs)
    return packed(await client.infer(url, request, model_name="types"))


async def bfloats_from_bytes(client, url):
    """Send what the client has no word for, as its bytes."""
    array = bfloats()
    given = InferInput("x", list(array.shape), "BF16")
    given._raw_data = array.tobytes()  # noqa: SLF001 - there is no other way
    given.parameters = {"binary_data_size": array.nbytes}
    outputs = [RequestedOutput("wide", {"binary_data": True})]
    request = InferRequest("bfloats", [given], request_outputs=outputs)
    return packed(await client.infer(url, request, model_name="bfloats"))


async def infer(client, url, *, binary, **fields):
    request = InferRequest(
        MODEL,
        [tensor("x", rows(), "FP32", binary=binary)],
        parameters={"binary_data_output": binary},
        **fields,
    )
    response = await client.infer(url, request, model_name=MODEL)
    return {"id": response.id, **packed(response)}


async def nothing(client, url, *, binary):
    """Send and receive no rows at all."""
    empty = tensor("x", np.zeros((0, 4), np.float32), "FP32", binary=binary)
    request = InferRequest(MODEL, [empty])
    return packed(await client.infer(url, request, model_name=MODEL))


async def plain_document(client, url):
    """Send a document of one's own, with nested lists."""
    x = rows()
    given = {
        "name": "x",
        "shape": list(x.shape),
        "datatype": "FP32",
        "data": x.tolist(),
    }
    response = await client.infer(url, {"inputs": [given]}, model_name=MODEL)
    return packed(response)


async def use_v2(client, url):
    wrong = InferRequest(MODEL, [tensor("x", rows()[:, :2], "FP32", binary=False)])
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, MODEL),
        "nobody": await client.is_model_ready(url, "nobody"),
        "json": await infer(client, url, binary=False, request_id="number 7"),
        "binary": await infer(client, url, binary=True),
        "types in json": await types(client, url, binary=False),
        "types in binary": await types(client, url, binary=True),
        "bfloats": await bfloats_from_bytes(client, url),
        "nothing": [await nothing(client, url, binary=b) for b in (False, True)],
        "plain": await plain_document(client, url),
        "wrong": await refusal(client.infer(url, wrong, model_name=MODEL)),
        "elsewhere": await refusal(client.infer(url, wrong, model_name="nobody")),
    }


async def main():
    url = f"http://{sys.argv[1]}"
    results = {}
    for protocol, use in (("v1", use_v1), ("v2", use_v2)):
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            results[protocol] = await use(client, url)
    tell(results)


if __name__ == "__main__":
    asyncio.run(main())
