"""flextune itself: the library that `flextune compile` wrote after tuning, and the one without any tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.model_peers.call import ModelCall, ModelJob
from benchmarks.model_zoo.inputs import Arrays
from benchmarks.peers.call import UnsupportedError
from flextune.apply.executable import Executable, load_executable

TUNED_FILE = "tuned.so"
DEFAULT_FILE = "default.so"


def prepare(job: ModelJob) -> list[ModelCall]:
    return [_call(job, job.path / TUNED_FILE)]


def prepare_default(job: ModelJob) -> list[ModelCall]:
    return [_call(job, job.path / DEFAULT_FILE)]


def _call(job: ModelJob, library: Path) -> ModelCall:
    """Without a library there is a file beside it that says why."""
    reason = library.with_suffix(".failed")
    if not library.exists():
        raise UnsupportedError(reason.read_text() if reason.exists() else f"{library.name} was not built")
    executable = load_executable(library, job.threads)
    inputs = job.inputs(0)

    def times(count: int) -> Sequence[float]:
        return executable.benchmark(inputs, min_runs=count, min_secs=0.0, warmup=0).run_secs

    return ModelCall(times, lambda arrays: _compute(executable, arrays), job.precision)


def _compute(executable: Executable, inputs: Arrays) -> Sequence[np.ndarray]:
    outputs = executable.run(inputs)
    return [outputs[spec.name] for spec in executable.outputs]
