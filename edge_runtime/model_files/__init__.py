"""What can be known of an ONNX file before ONNX Runtime opens it."""
