"""FastAPI as its tutorial writes it: a pydantic model and a plain function."""

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from bench.serving.peers.session import open_session

session = open_session()
app = FastAPI()


class Tensor(BaseModel):
    """One tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    """The body of a request."""

    inputs: list[Tensor]


@app.post("/v2/models/{name}/infer")
def infer(name: str, request: InferRequest) -> dict[str, object]:
    """Answer one prediction."""
    tensor = request.inputs[0]
    x = np.array(tensor.data, dtype=np.float32).reshape(tensor.shape)
    y = session.run(None, {tensor.name: x})[0]
    output = {"name": "y", "datatype": "FP32", "shape": list(y.shape)}
    return {"model_name": name, "outputs": [{**output, "data": y.ravel().tolist()}]}
