"""A custom runtime of MLServer: it ships none for ONNX."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.serving.peers.session import open_session


class OnnxModel(MLModel):
    """One model behind MLServer's own codecs."""

    async def load(self) -> bool:
        """Open the model."""
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one prediction."""
        tensor = payload.inputs[0]
        x = NumpyCodec.decode_input(tensor).astype("float32", copy=False)
        y = self.session.run(None, {tensor.name: x})[0]
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)]
        )
