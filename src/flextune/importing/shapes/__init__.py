"""The Shape Tracker: what is known of every tensor of an ONNX model whose sizes are known only when it runs."""
