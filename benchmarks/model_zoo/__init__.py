"""The models of the benchmark as ONNX files, and as PyTorch modules with the same weights."""
