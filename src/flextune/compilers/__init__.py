"""Whole-subgraph compilers and runtimes of others: ONNX in, bytes out, something that runs."""
