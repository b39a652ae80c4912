"""A custom prediction routine for Vertex AI's own model server."""

import numpy as np
from google.cloud.aiplatform.prediction.predictor import Predictor

from bench.serving.peers.session import open_session


class OnnxPredictor(Predictor):
    """The four steps that the server calls for a request."""

    def load(self, artifacts_uri: str) -> None:
        """Open the model; it lies on this disk whatever the address says."""
        del artifacts_uri
        self.session = open_session()

    def preprocess(self, prediction_input: dict[str, object]) -> np.ndarray:
        """Read the instances."""
        return np.array(prediction_input["instances"], dtype=np.float32)

    def predict(self, instances: np.ndarray) -> np.ndarray:
        """Run the model."""
        return self.session.run(None, {"x": instances})[0]

    def postprocess(self, prediction_results: np.ndarray) -> dict[str, object]:
        """Write the predictions."""
        return {"predictions": prediction_results.tolist()}
