"""ONNX Runtime: runs what is not ours, on the processor or on any of its execution providers."""
