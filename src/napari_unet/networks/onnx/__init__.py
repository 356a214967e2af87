"""Networks as ONNX graphs, for programs that run those."""
