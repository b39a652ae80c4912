"""What tritonclient's asyncio client asks: other heads, the same documents."""

import asyncio
import sys

import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from samples import each_type, pack, rows
from steps import answers, tell
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


def tensor(name, array, *, binary=True):
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return given.set_data_from_numpy(array, binary_data=binary)


async def refusal(asked):
    """Return how the client reports that it was refused."""
    try:
        return await asked
    except InferenceServerException as error:
        return str(error)


async def one(client, seed):
    result = await client.infer(
        "tiny", [tensor("x", rows(1, seed))], request_id=str(seed)
    )
    return result.get_response()["id"], pack(result.as_numpy("y"))


async def compressed(client, coding):
    result = await client.infer(
        "tiny",
        [tensor("x", rows(500))],
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    return answers(result, ["y"])


async def use(client):
    types = [tensor(f"in_{name}", array) for name, array in each_type().items()]
    result = await client.infer("types", types)
    wrong = [tensor("x", rows()[:, :2])]
    return {
        "health": [await client.is_server_live(), await client.is_server_ready()],
        "ready": [
            await client.is_model_ready(n, v) for n, v in (("tiny", "2"), ("no", ""))
        ],
        "server": await client.get_server_metadata(),
        "model": await client.get_model_metadata("tiny"),
        "config": await client.get_model_config("tiny"),
        "statistics": await client.get_inference_statistics("tiny", "1"),
        "index": await client.get_model_repository_index(),
        "load": await refusal(client.load_model("tiny")),
        "unload": await refusal(client.unload_model("tiny")),
        "types": answers(result, [f"out_{name}" for name in each_type()]),
        "compressed": [
            await compressed(client, coding) for coding in ("gzip", "deflate")
        ],
        "wrong": await refusal(
            client.infer("tiny", wrong, response_compression_algorithm="deflate")
        ),
        "many": await asyncio.gather(*(one(client, seed) for seed in range(16))),
    }


async def main():
    async with triton_aio.InferenceServerClient(sys.argv[1]) as client:
        tell(await use(client))


if __name__ == "__main__":
    asyncio.run(main())
