"""The ONNX project's backend tests, and the light models with random weights, each in a process that may die.

`python -m onnx_conformance` runs them; docs/onnx.md holds what came out.
"""
