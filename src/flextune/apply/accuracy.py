"""How far a model in fewer bits is from the same model in float32, output by output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flextune.apply.model_check import max_relative_error
from flextune.errors import UsageError
from flextune.importing.values import ValueSpec, array_type, random_values
from flextune.registry import nearest

Values = Mapping[str, np.ndarray]
Sample = dict[str, np.ndarray]
Run = Callable[[Sample], Values]

RANDOM_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class OutputAccuracy:
    """One output over all samples.

    `max_relative_error` is max |got - want| / max |want| of the worst sample, `cosine` the smallest cosine of the angle
    between both, `top1` the share of rows (along the last dimension longer than 1) whose largest element is the same.
    """

    name: str
    max_relative_error: float
    cosine: float
    top1: float

    def __str__(self) -> str:
        return (
            f"{self.name}: max relative error {self.max_relative_error:.2g}, cosine {self.cosine:.6f}, "
            f"top-1 agreement {self.top1:.0%}"
        )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All outputs of a model over so many samples."""

    outputs: tuple[OutputAccuracy, ...]
    samples: int

    @property
    def max_relative_error(self) -> float:
        return max((output.max_relative_error for output in self.outputs), default=0.0)


def accuracy_of(run: Run, reference: Run, samples: Sequence[Sample]) -> Accuracy:
    """Compares `run` with `reference` on every sample."""
    pairs = [(run(sample), reference(sample)) for sample in samples]
    return compared(pairs)


def compared(pairs: Sequence[tuple[Values, Values]]) -> Accuracy:
    """The accuracy of outputs (got, want), one pair a sample."""
    names = [name for name, values in pairs[0][1].items() if values.dtype.kind == "f"]
    outputs = [_output(name, [(got[name], want[name]) for got, want in pairs]) for name in names]
    return Accuracy(tuple(outputs), len(pairs))


def read_samples(path: Path | None, inputs: Sequence[ValueSpec]) -> tuple[dict[str, np.ndarray], ...]:
    """The samples of an .npz file with one array per input, of the input's shape or with a leading axis over samples.

    Without a file, seeded random ones. UsageError for a file that does not fit.
    """
    if path is None:
        return tuple(random_values(inputs, seed) for seed in range(RANDOM_SAMPLES))
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UsageError(f"cannot read {path}: expected an .npz file with an array for every input ({error})") from None
    names = [spec.name for spec in inputs]
    if unknown := [name for name in arrays if name not in names]:
        raise UsageError(f"{path} holds {unknown[0]!r}, which is no input: {nearest(unknown[0], tuple(names))}")
    stacked = {spec.name: _stacked(path, spec, arrays) for spec in inputs}
    counts = {array.shape[0] for array in stacked.values()}
    if len(counts) > 1:
        sizes = ", ".join(f"{name} has {array.shape[0]}" for name, array in stacked.items())
        raise UsageError(f"{path}: every input needs the same number of samples, but {sizes}")
    return tuple({name: array[i] for name, array in stacked.items()} for i in range(counts.pop()))


def _stacked(path: Path, spec: ValueSpec, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if spec.name not in arrays:
        raise UsageError(f"{path} lacks an array for input {spec}; it holds {', '.join(arrays) or 'nothing'}")
    array = arrays[spec.name]
    if array.shape == spec.shape:
        array = array[None]
    if array.shape[1:] != spec.shape or array.dtype != array_type(spec.dtype) or not array.shape[0]:
        came = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise UsageError(f"{path}: expected {spec}, or with a leading axis over samples, got {came}")
    return array


def _output(name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> OutputAccuracy:
    errors = [max_relative_error({name: got}, {name: want}) for got, want in pairs]
    cosines = [_cosine(got, want) for got, want in pairs]
    return OutputAccuracy(name, max(errors), min(cosines), float(np.mean([_top1(got, want) for got, want in pairs])))


def _cosine(got: np.ndarray, want: np.ndarray) -> float:
    left, right = got.astype(np.float64).reshape(-1), want.astype(np.float64).reshape(-1)
    scale = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / scale if scale > 0 else float(np.array_equal(left, right))


def _top1(got: np.ndarray, want: np.ndarray) -> float:
    longer = [size for size in want.shape if size > 1]
    if not longer:
        return 1.0
    left, right = got.reshape(-1, longer[-1]), want.reshape(-1, longer[-1])
    return float(np.mean(left.argmax(1) == right.argmax(1)))
