"""The same over the Vertex AI SDK: `aiplatform.Endpoint.predict`."""

import os

import flask
import functions_framework
from google.cloud import aiplatform

aiplatform.init(
    project="packhorse-demo",
    location="europe-west4",
    api_endpoint=f"http://{os.environ['VERTEX_HOST']}",
    api_transport="rest",
)
ENDPOINT = aiplatform.Endpoint(os.environ["ENDPOINT"])


@functions_framework.http
def predict(request: flask.Request) -> dict[str, object]:
    """Answer one prediction request."""
    answer = ENDPOINT.predict(instances=request.get_json()["instances"])
    return {"predictions": answer.predictions}
