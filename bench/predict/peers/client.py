"""The function that most people write: JSON in, the Vertex AI client, JSON out.

Vertex AI's own sample, `predict_custom_trained_model_sample.py`, inside a function;
the client is made once for all requests. Only where it asks is another.
"""

import os

import flask
import functions_framework
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.services.prediction_service import transports
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

ENDPOINT = os.environ["ENDPOINT"]
CLIENT = aiplatform.gapic.PredictionServiceClient(
    transport=transports.PredictionServiceRestTransport(
        host=os.environ["VERTEX_HOST"], url_scheme="http"
    )
)


@functions_framework.http
def predict(request: flask.Request) -> dict[str, object]:
    """Answer one prediction request."""
    rows = request.get_json()["instances"]
    instances = [json_format.ParseDict(row, Value()) for row in rows]
    response = CLIENT.predict(endpoint=ENDPOINT, instances=instances)
    message = type(response).pb(response)
    return {"predictions": [json_format.MessageToDict(p) for p in message.predictions]}
