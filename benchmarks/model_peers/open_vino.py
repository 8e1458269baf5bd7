"""OpenVINO on the CPU: one stream, latency as its hint, inputs and outputs in its own tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov

from benchmarks.model_peers.call import BFLOAT16, FLOAT32, ModelCall, ModelJob, timed
from benchmarks.model_zoo.inputs import Arrays

_PRECISIONS = {FLOAT32: "f32", BFLOAT16: "bf16"}


def prepare(job: ModelJob) -> list[ModelCall]:
    """In the precision asked for."""
    return [_call(job, {"INFERENCE_PRECISION_HINT": _PRECISIONS[job.precision]})]


def prepare_default(job: ModelJob) -> list[ModelCall]:
    """In the precision that OpenVINO chooses by itself: bfloat16 where the CPU has instructions for it."""
    return [_call(job, {})]


def _call(job: ModelJob, settings: Mapping[str, object]) -> ModelCall:
    common = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": job.threads}
    compiled = ov.Core().compile_model(job.file, "CPU", {**common, **settings})
    request, other = compiled.create_infer_request(), compiled.create_infer_request()
    for name, array in job.inputs(0).items():
        request.set_tensor(name, ov.Tensor(array))

    def run() -> None:
        request.start_async()
        request.wait()

    def compute(inputs: Arrays) -> Sequence[np.ndarray]:
        results = other.infer(inputs)
        return [results[index] for index in range(len(compiled.outputs))]

    return ModelCall(timed(run), compute, _precision(compiled))


def _precision(compiled: ov.CompiledModel) -> str:
    """What the compiled model says it computes in; any other type by OpenVINO's own name."""
    found: str = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    known = {text: name for name, text in _PRECISIONS.items()}
    return known.get(found, found)
