"""Members of GPU spaces checked on a machine without a GPU: `python -m benchmarks.gpu check`; see docs/gpu.md."""
