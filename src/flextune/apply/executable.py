"""`Executable`: a built model that takes and gives NumPy arrays."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from flextune.apply.artifact import open_library, write_library
from flextune.apply.quiet import without_noise
from flextune.apply.signature import Signature
from flextune.apply.threads import PoolThreads
from flextune.errors import UsageError
from flextune.graph.values import ValueSpec

ALIGNMENT_BYTES = 64
"""What the generated code assumes of every buffer; arrays that are placed otherwise are copied."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall-clock seconds of single runs, in the order they were made."""

    run_secs: tuple[float, ...]

    @property
    def median_secs(self) -> float:
        return statistics.median(self.run_secs)


class Executable:
    """A built model. `run` may be called from several threads; calls take turns.

    >>> executable = flextune.load("model.so")        # doctest: +SKIP
    >>> executable.run({"data_0": image})["softmaxout_1"].shape   # doctest: +SKIP
    (1, 1000, 1, 1)
    """

    def __init__(self, module: Any, signature: Signature, library: Any | None = None) -> None:
        self.signature = signature
        self._library = library  # what `tvm.compile` returned; None after loading
        self._machine = relax.VirtualMachine(module, tvm.cpu())
        self._threads = PoolThreads(signature.threads)
        self._lock = threading.Lock()

    @property
    def inputs(self) -> tuple[ValueSpec, ...]:
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[ValueSpec, ...]:
        return self.signature.outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. UsageError when an input is missing, unknown, or of another shape or dtype."""
        arguments = self._arguments(inputs)
        with self._lock:
            results = self._threads.call(lambda: self._invoke(arguments))
            return {spec.name: array.numpy() for spec, array in zip(self.outputs, results, strict=True)}

    def save(self, path: str | Path) -> Path:
        """Write one shared library that `flextune.load` takes, all or nothing. Needs a linker (see platforms)."""
        if self._library is None:
            raise UsageError("an executable that was loaded from a file cannot be saved again; copy its file")
        return write_library(self._library, self.signature, Path(path))

    def benchmark(
        self,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        min_runs: int = 10,
        min_secs: float = 0.5,
        warmup: int = 3,
    ) -> Latency:
        """Time single runs (inputs in place, outputs left where they are) until both minima are reached."""
        arguments = self._arguments(self.random_inputs(0) if inputs is None else inputs)
        with self._lock:
            return self._threads.call(lambda: self._timed(arguments, min_runs, min_secs, warmup))

    def random_inputs(self, seed: int) -> dict[str, np.ndarray]:
        """One seeded array per input: normal for floats, 0 or 1 for integers and booleans."""
        rng = np.random.default_rng(seed)
        return {spec.name: spec.random_array(rng) for spec in self.inputs}

    def _timed(self, arguments: list[Any], min_runs: int, min_secs: float, warmup: int) -> Latency:
        for _ in range(warmup):
            self._invoke(arguments)
        run_secs: list[float] = []
        while len(run_secs) < min_runs or sum(run_secs) < min_secs:
            start = time.perf_counter()
            self._invoke(arguments)
            run_secs.append(time.perf_counter() - start)
        return Latency(tuple(run_secs))

    def _invoke(self, arguments: list[Any]) -> list[Any]:
        result = self._machine["main"](*arguments)
        return list(result) if not isinstance(result, tvm.runtime.Tensor) else [result]

    def _arguments(self, inputs: Mapping[str, np.ndarray]) -> list[Any]:
        names = [spec.name for spec in self.inputs]
        listed = ", ".join(map(str, self.inputs)) or "no inputs"
        if unknown := [name for name in inputs if name not in names]:
            raise UsageError(f"{self.signature.name} has no input {unknown[0]!r}; it takes {listed}")
        if missing := [name for name in names if name not in inputs]:
            raise UsageError(f"{self.signature.name}: input {missing[0]!r} is missing; it takes {listed}")
        return [_tensor(spec, inputs[spec.name], self.signature.name) for spec in self.inputs]


def load_executable(path: str | Path, threads: int | None = None) -> Executable:
    """The executable saved at `path`, checked to be whole and made for a processor like this one.

    `threads` overrides the number it was saved with. UsageError for any other file, EnvironmentFault for another CPU.
    """
    module, signature = open_library(Path(path))
    with without_noise():
        return Executable(module, signature if threads is None else signature.with_threads(threads))


def _tensor(spec: ValueSpec, value: np.ndarray, model: str) -> Any:
    array = np.asarray(value)
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        came = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise UsageError(f"{model}: input {spec} expected, got {came}")
    if array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT_BYTES == 0:
        return tvm.runtime.from_dlpack(array)
    return tvm.runtime.tensor(np.array(array, order="C"))  # `ascontiguousarray` would give a scalar a dimension
