"""Loads and unloads models on a server that allows it."""

import sys

import tritonclient.http as triton
from steps import run_steps
from tritonclient.utils import InferenceServerException


def states(client):
    """Return what the index tells of the models, by name and version."""
    index = client.get_model_repository_index()
    return {f"{each['name']}@{each['version']}": each["state"] for each in index}


def unload(client):
    client.unload_model("tiny")
    return {"ready": client.is_model_ready("tiny"), "states": states(client)}


def infer_unloaded(client):
    return client.infer("tiny", [])


def load(client):
    client.load_model("tiny", headers={"X-Own": "1"})
    ready = [client.is_model_ready("tiny", version) for version in ("", "1", "2")]
    return {"ready": ready, "states": states(client)}


def load_again(client):
    client.load_model("tiny")
    return client.is_model_ready("tiny")


def load_nobody(client):
    return client.load_model("nobody")


def load_with_config(client):
    return client.load_model("tiny", config='{"max_batch_size": 3}')


def unload_nobody(client):
    return client.unload_model("nobody")


STEPS = [
    *(unload, infer_unloaded, load, load_again),
    *(load_nobody, load_with_config, unload_nobody),
]

if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1]) as client:
        run_steps(STEPS, InferenceServerException, client)
