"""Models of others, ONNX and PyTorch, to Relax."""
