"""The model of Triton's Python backend: what came together runs together."""

import numpy as np


class TritonPythonModel:
    """Called by the backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model."""
        from bench.serving.peers.session import open_session  # noqa: PLC0415

        del args
        self.session = open_session()

    def execute(self, requests: list[object]) -> list[object]:
        """Answer one request, or those that dynamic batching put together."""
        import triton_python_backend_utils as triton  # noqa: PLC0415

        tensors = [
            triton.get_input_tensor_by_name(request, "x").as_numpy()
            for request in requests
        ]
        if len(tensors) == 1:
            answers = [self.session.run(None, {"x": tensors[0]})[0]]
        else:
            y = self.session.run(None, {"x": np.concatenate(tensors)})[0]
            ends = np.cumsum([len(tensor) for tensor in tensors])[:-1]
            answers = np.split(y, ends)
        return [
            triton.InferenceResponse(output_tensors=[triton.Tensor("y", answer)])
            for answer in answers
        ]
