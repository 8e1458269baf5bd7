"""NumPy's matrix products, by the BLAS it was built with."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.call import Call, Job, UnsupportedError
from flextune.measure.data import KernelData


def prepare(job: Job, data: KernelData) -> list[Call]:
    """`np.matmul` into an array that is there already."""
    workload = job.workload
    if workload.operator not in ("gemm", "bmm", "gemv"):
        raise UnsupportedError("NumPy has matrix products only")
    if workload.dtype != "float32":
        raise UnsupportedError(f"NumPy's BLAS has no product of {workload.dtype}")
    if workload.param("epilogue") != "none":
        raise UnsupportedError("NumPy fuses no epilogue")
    left, right = data.inputs
    if workload.operator == "gemm" and workload.param("ta"):
        left = left.T
    if workload.operator != "gemv" and workload.param("tb"):
        right = right.swapaxes(-1, -2)
    out = data.outputs[0]
    return [Call(lambda: np.matmul(left, right, out=out), lambda: out)]
