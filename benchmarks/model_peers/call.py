"""What a peer makes of a model: something to time again and again, and its outputs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.model_zoo.catalog import MODELS, ZooModel
from benchmarks.model_zoo.inputs import Arrays, input_specs, random_inputs

FLOAT32 = "float32"
BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True)
class ModelJob:
    """A model as the processes of its peers read it.

    `folder` holds what is made for this run: reference outputs, libraries, logs. `cores` are the logical processors to
    run on, one per physical core; each peer uses as many threads. A turn of a peer lasts at least `turn_secs` and
    `turn_runs` runs, after `warm_runs` and `warm_secs` that do not count. `seeds` is the number of inputs on which
    outputs are compared.
    """

    folder: str
    model: str
    file: str
    precision: str
    cores: tuple[int, ...]
    turn_secs: float
    turn_runs: int
    warm_secs: float
    warm_runs: int
    seeds: int

    @property
    def zoo_model(self) -> ZooModel:
        return MODELS[self.model]

    @property
    def threads(self) -> int:
        return len(self.cores)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def inputs(self, seed: int) -> Arrays:
        return random_inputs(self.zoo_model, input_specs(self.file), seed)

    def reference_path(self, seed: int) -> Path:
        return self.path / f"reference-{seed}.npz"

    def write(self) -> None:
        (self.path / "job.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: str) -> ModelJob:
        values = json.loads((Path(folder) / "job.json").read_text())
        return cls(**{**values, "cores": tuple(values["cores"])})


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model that a peer has loaded.

    `times` runs it so many times on inputs that lie where the peer wants them and leaves the outputs where the peer
    puts them; it gives the seconds of each run. `compute` gives the outputs of other inputs, in the ONNX file's order.
    `precision` is the type that it computes in by its own word, `variant` names the way taken where it has several.
    """

    times: Callable[[int], Sequence[float]]
    compute: Callable[[Arrays], Sequence[np.ndarray]]
    precision: str
    variant: str = ""


Prepare = Callable[[ModelJob], Sequence[ModelCall]]
"""The ways a peer can run the model, at least one; the fastest is taken. Raises `UnsupportedError`."""


def timed(run: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    """Seconds of each of so many calls, by the wall clock."""

    def times(count: int) -> list[float]:
        secs = []
        for _ in range(count):
            start = time.perf_counter()
            run()
            secs.append(time.perf_counter() - start)
        return secs

    return times


def relative_error(outputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """max |output - wanted| / max |wanted|, the largest over all outputs; infinite where a value is not finite."""
    if len(outputs) != len(wanted):
        return float("inf")
    return max(_error(output, want) for output, want in zip(outputs, wanted, strict=True))


def _error(output: np.ndarray, wanted: np.ndarray) -> float:
    if output.shape != wanted.shape or not np.isfinite(output).all():
        return float("inf")
    scale = float(np.max(np.abs(wanted), initial=0.0))
    error = float(np.max(np.abs(output.astype(np.float64) - wanted), initial=0.0))
    return error / scale if scale else error
