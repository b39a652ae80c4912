"""The function that most people write, over the client's default transport, gRPC.

It imports no more of the SDK than the client: what somebody writes who knows that
`from google.cloud import aiplatform` takes a second. Only where it asks is another,
and that without TLS, as everybody here.
"""

import os

import flask
import functions_framework
import grpc
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.prediction_service import transports
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

ENDPOINT = os.environ["ENDPOINT"]
CLIENT = aiplatform_v1.PredictionServiceClient(
    transport=transports.PredictionServiceGrpcTransport(
        channel=grpc.insecure_channel(os.environ["VERTEX_GRPC"])
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
