"""ONNX Runtime: a model of a single node with all operands as inputs, bound to memory beforehand.

Its convolutions take channels-first data only: channels-last cases are turned before the timing, not in it.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnxruntime as ort

from benchmarks.peers.call import BFLOAT16_ROUNDING, Call, Job, UnsupportedError
from benchmarks.peers.onnx_models import NodeForm, model_bytes, node_form
from flextune.measure.data import KernelData
from flextune.platforms.base import Array


def prepare(job: Job, data: KernelData) -> list[Call]:
    """One session, run through I/O binding; all optimizations are on, as they are by default."""
    workload = job.workload
    form = node_form(workload)
    inputs = _turned(form, data.inputs)
    spec, narrow = workload.outputs[0], workload.dtype == "bfloat16"
    out = np.empty(_onnx_shape(form, spec.shape), dtype="uint16" if narrow else spec.dtype)
    model = model_bytes(form, [(str(array.dtype), array.shape) for array in inputs], (str(out.dtype), out.shape))
    session = _session(model, job.threads)
    binding = session.io_binding()
    for index, array in enumerate(inputs):
        binding.bind_ortvalue_input(f"in{index}", _value(array))
    result = _value(out)
    binding.bind_ortvalue_output("out", result)

    def output() -> Array:
        return _untransposed(form, result.numpy()).astype(spec.dtype, copy=False)

    rounding = BFLOAT16_ROUNDING if narrow else 0.0
    return [Call(lambda: session.run_with_iobinding(binding), output, form.op, rounding)]


def _session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error) or "NotImplemented" in type(error).__name__:
            raise UnsupportedError("ONNX Runtime has no CPU kernel for it") from error
        raise


def _turned(form: NodeForm, arrays: tuple[Array, ...]) -> list[Array]:
    axes = form.input_axes or ((),) * len(arrays)
    return [
        np.ascontiguousarray(array.transpose(order)) if order else array
        for array, order in zip(arrays, axes, strict=True)
    ]


def _value(array: Array) -> ort.OrtValue:
    """The array as ONNX Runtime's value; `uint16` holds bfloat16."""
    return ort.OrtValue.ortvalue_from_numpy(array.view(ml_dtypes.bfloat16) if array.dtype == np.uint16 else array)


def _onnx_shape(form: NodeForm, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not form.output_axes:
        return shape
    turned = [0] * len(shape)
    for position, axis in enumerate(form.output_axes):
        turned[axis] = shape[position]
    return tuple(turned)


def _untransposed(form: NodeForm, array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(form.output_axes)) if form.output_axes else array
