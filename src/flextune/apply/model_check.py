"""Comparing a built model with ONNX Runtime on the same random inputs."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import numpy as np

from flextune.apply.executable import Executable, Latency
from flextune.errors import EnvironmentFault
from flextune.importing.model import Model

MAX_RELATIVE_ERROR = 1e-3
"""Largest accepted `max_relative_error` of a float32 model; random-weight networks of 50 layers stay below 1e-4."""


class OnnxRuntime:
    """A model in ONNX Runtime on the CPU with a fixed number of threads."""

    def __init__(self, model: Model, threads: int) -> None:
        self._outputs = list(model.outputs)
        self._session = onnxruntime_session(model.proto.SerializeToString(), threads)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def benchmark(
        self, inputs: dict[str, np.ndarray], *, min_runs: int = 10, min_secs: float = 0.5, warmup: int = 3
    ) -> Latency:
        """Time single runs until both minima are reached; as `Executable.benchmark`."""
        for _ in range(warmup):
            self._session.run(None, inputs)
        run_secs: list[float] = []
        while len(run_secs) < min_runs or sum(run_secs) < min_secs:
            start = time.perf_counter()
            self._session.run(None, inputs)
            run_secs.append(time.perf_counter() - start)
        return Latency(tuple(run_secs))


def onnxruntime_session(model: bytes | str, threads: int) -> Any:
    """A session on the CPU of a model, given as bytes or as a path. EnvironmentFault without ONNX Runtime."""
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_against_onnxruntime(model: Model, executable: Executable, seed: int = 0) -> float:
    """The largest relative error of any output against ONNX Runtime, on one set of random inputs.

    EnvironmentFault when ONNX Runtime is not installed. Compare with `MAX_RELATIVE_ERROR`.
    """
    inputs = model.random_inputs(seed)
    expected = OnnxRuntime(model, executable.signature.threads).run(inputs)
    return max_relative_error(executable.run(inputs), expected)


def max_relative_error(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """max |output - expected| / max |expected| over all outputs; inf where one is NaN or infinite and the other not."""
    return max(relative_errors(outputs, expected).values(), default=0.0)


def relative_errors(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """max |output - expected| / max |expected| of every output, by name; see `max_relative_error`."""
    return {name: _relative_error(outputs[name], wanted) for name, wanted in expected.items()}


def _relative_error(output: np.ndarray, wanted: np.ndarray) -> float:
    if output.shape != wanted.shape:
        return float("inf")
    got, want = output.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True) or not np.all(np.isfinite(got[finite])):
        return float("inf")
    error = float(np.max(np.abs(got[finite] - want[finite]), initial=0.0))
    scale = float(np.max(np.abs(want[finite]), initial=0.0))
    return error / scale if scale > 0 else error


def _onnxruntime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise EnvironmentFault(
            "ONNX Runtime is not installed; install it with `pip install onnxruntime` to compare with it"
        ) from error
