"""ONNX Runtime's CPU provider: all graph optimizations, inputs and outputs bound to memory beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from benchmarks.model_peers.call import FLOAT32, ModelCall, ModelJob, timed
from benchmarks.model_zoo.inputs import Arrays
from benchmarks.peers.call import UnsupportedError


def prepare(job: ModelJob) -> list[ModelCall]:
    """One session. It has no bfloat16 kernels for the CPU's convolutions and matrix products."""
    if job.precision != FLOAT32:
        raise UnsupportedError(f"ONNX Runtime's CPU provider has no {job.precision} models")
    session = open_session(job.file, job.threads)
    binding = session.io_binding()
    for name, array in job.inputs(0).items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for output, array in zip(session.get_outputs(), compute(session, job.inputs(0)), strict=True):
        binding.bind_ortvalue_output(output.name, ort.OrtValue.ortvalue_from_numpy(array))
    return [
        ModelCall(timed(lambda: session.run_with_iobinding(binding)), lambda inputs: compute(session, inputs), FLOAT32)
    ]


def open_session(file: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def compute(session: ort.InferenceSession, inputs: Arrays) -> Sequence[np.ndarray]:
    outputs: Sequence[np.ndarray] = session.run(None, inputs)
    return outputs
