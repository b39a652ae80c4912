"""What kserve's InferenceRESTClient asks of the prediction function."""

import asyncio
import sys

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

from steps import rows, tell  # isort: skip - the script's own folder

MODEL = "tiny"


async def refusal(asked):
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
    }


async def infer(client, url, *, binary):
    given = InferInput("x", list(rows().shape), "FP32")
    given.set_data_from_numpy(rows(), binary_data=binary)
    request = InferRequest(MODEL, [given], parameters={"binary_data_output": binary})
    response = await client.infer(url, request, model_name=MODEL)
    return response.outputs[0].as_numpy().tolist()


async def use_v2(client, url):
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, MODEL),
        "nobody": await client.is_model_ready(url, "nobody"),
        "answers": [await infer(client, url, binary=b) for b in (True, False)],
    }


async def main():
    url = f"http://{sys.argv[1]}"
    seen = {}
    for protocol, use in (("v1", use_v1), ("v2", use_v2)):
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            seen[protocol] = await use(client, url)
    tell(seen)


if __name__ == "__main__":
    asyncio.run(main())
