"""`python -m bench.predict.upstream_grpc`: the same upstream, asked by gRPC.

It parses no request, and writes its answer once.

Source: google.cloud.aiplatform.v1, `PredictionService.Predict`
"""

import argparse
import asyncio
import functools

import grpc
from google.cloud.aiplatform_v1 import PredictResponse

from bench.predict.samples import DEPLOYED_ID, PREDICTIONS, RELEASE

_PREDICT = "/google.cloud.aiplatform.v1.PredictionService/Predict"
_LIMIT = ("grpc.max_receive_message_length", 10_000_000)


def _answer() -> bytes:
    message = PredictResponse.pb(
        PredictResponse(deployed_model_id=DEPLOYED_ID, model_display_name=RELEASE)
    )
    for row in PREDICTIONS:
        message.predictions.add().list_value.extend(row)
    written: bytes = message.SerializeToString()
    return written


async def _predict(
    pause_s: float, answer: bytes, _request: bytes, _context: object
) -> bytes:
    await asyncio.sleep(pause_s)
    return answer


class _Handler(grpc.GenericRpcHandler):
    """Knows one method, and leaves its messages as bytes."""

    def __init__(self, pause_s: float) -> None:
        self._method: grpc.RpcMethodHandler[bytes, bytes] = (
            grpc.unary_unary_rpc_method_handler(
                functools.partial(_predict, pause_s, _answer())
            )
        )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._method if handler_call_details.method == _PREDICT else None


async def _serve(port: int, pause_s: float) -> None:
    server = grpc.aio.server(options=[_LIMIT])
    server.add_generic_rpc_handlers((_Handler(pause_s),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m bench.predict.upstream_grpc")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pause-ms", type=float, default=20.0, help="[20]")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.pause_ms / 1000))


if __name__ == "__main__":
    main()
