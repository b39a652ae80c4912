"""LitServe with its standard queue and one worker."""

import litserve
import numpy as np

from bench.serving.peers.session import PORT, WORKERS, open_session


class OnnxApi(litserve.LitAPI):
    """One model, one request at a time."""

    def setup(self, device: str) -> None:
        """Open the model in the worker, which `device` is said to."""
        del device
        self.session = open_session()

    def decode_request(self, request: dict[str, object]) -> np.ndarray:
        """Read the tensor."""
        return np.array(request["x"], dtype=np.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the model."""
        return self.session.run(None, {"x": x})[0]

    def encode_response(self, output: np.ndarray) -> dict[str, object]:
        """Write the answer."""
        return {"y": output.tolist()}


def main() -> None:
    """Serve until told to stop."""
    server = litserve.LitServer(
        OnnxApi(), accelerator="cpu", workers_per_device=WORKERS
    )
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
