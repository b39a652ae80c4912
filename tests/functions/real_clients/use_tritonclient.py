"""What tritonclient's two HTTP clients ask of the prediction function."""

import asyncio
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from steps import rows, tell  # isort: skip - the script's own folder


def tensor(array, *, binary=True):
    given = triton.InferInput("x", list(array.shape), "FP32")
    return given.set_data_from_numpy(array, binary_data=binary)


def attempt(asked, *arguments, **named):
    try:
        return asked(*arguments, **named)
    except InferenceServerException as error:
        return str(error)


def infer(client, *, there=True, back=True, **more):
    outputs = [triton.InferRequestedOutput("y", binary_data=back)]
    given = [tensor(rows(), binary=there)]
    result = client.infer("tiny", given, outputs=outputs, **more)
    return result.as_numpy("y").tolist()


def at_once(client):
    later = [client.async_infer("tiny", [tensor(rows())]) for _ in range(4)]
    return [one.get_result(timeout=20).as_numpy("y").tolist() for one in later]


def use(client):
    wrong = np.zeros((1, 5), np.float32)
    return {
        "live": [client.is_server_live(), client.is_server_ready()],
        "ready": [
            client.is_model_ready("tiny"),
            client.is_model_ready("tiny", "2"),
            client.is_model_ready("tiny", "9"),
            client.is_model_ready("nobody"),
        ],
        "server": client.get_server_metadata()["name"],
        "metadata": client.get_model_metadata("tiny")["versions"],
        "config": attempt(client.get_model_config, "tiny"),
        "statistics": attempt(client.get_inference_statistics, "tiny"),
        "load": attempt(client.load_model, "tiny"),
        "index": client.get_model_repository_index(),
        "answers": {
            f"{there} {back}": infer(client, there=there, back=back)
            for there in (True, False)
            for back in (True, False)
        },
        "version": infer(client, model_version="2"),
        "other version": attempt(infer, client, model_version="9"),
        "compressed": [
            infer(
                client,
                request_compression_algorithm=there,
                response_compression_algorithm=back,
            )
            for there in ("gzip", "deflate", None)
            for back in ("gzip", None)
        ],
        "in time": infer(client, timeout=30_000_000, request_id="7"),
        "wrong": attempt(client.infer, "tiny", [tensor(wrong)]),
        "nobody": attempt(client.infer, "nobody", [tensor(rows())]),
        "later": at_once(client),
    }


async def use_async(address):
    async with triton_aio.InferenceServerClient(address) as client:
        asked = [
            client.infer("tiny", [tensor(rows(), binary=b)]) for b in (True, False)
        ]
        results = await asyncio.gather(*asked)
        return {
            "ready": await client.is_model_ready("tiny"),
            "answers": [result.as_numpy("y").tolist() for result in results],
        }


if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1], concurrency=4) as client:
        seen = use(client)
    tell({"sync": seen, "async": asyncio.run(use_async(sys.argv[1]))})
