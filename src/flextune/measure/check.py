"""Comparison of a candidate's outputs with the reference, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.platforms.base import Array
from flextune.workload.workload import Workload

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """`max_error` is the largest absolute difference, infinity where only one side is a number.

    `error` says what is wrong; it is empty when nothing is.
    """

    max_error: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Differences:
    count: int
    first: int
    max_error: float


def poison(reference: Array) -> Array:
    """An array that differs from the reference in every element, so that an element left unwritten is seen."""
    if np.issubdtype(reference.dtype, np.floating):
        return np.where(np.isnan(reference), 0, np.nan).astype(reference.dtype)
    return np.invert(reference)


def check_outputs(workload: Workload, outputs: Sequence[Array], references: Sequence[Array]) -> OutputCheck:
    """Compare every element within `workload.tolerance()`; NaN and infinity must stand where the reference has them."""
    tolerance = workload.tolerance()
    checks = [
        _check_one(spec.name, output, reference, tolerance.relative, tolerance.absolute)
        for spec, output, reference in zip(workload.outputs, outputs, references, strict=True)
    ]
    wrong = [check.error for check in checks if check.error]
    return OutputCheck(max(check.max_error for check in checks), wrong[0] if wrong else "")


def check_inputs(workload: Workload, inputs: Sequence[Array], originals: Sequence[Array]) -> OutputCheck:
    """An input must hold the same bytes after the run."""
    for spec, array, original in zip(workload.inputs, inputs, originals, strict=True):
        if not np.array_equal(_bytes(array), _bytes(original)):
            return OutputCheck(np.inf, f"the program wrote into its input {spec.name}")
    return OutputCheck(0.0)


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _check_one(name: str, output: Array, reference: Array, relative: float, absolute: float) -> OutputCheck:
    if output.shape != reference.shape or output.dtype != reference.dtype:
        got, want = f"{output.dtype}{list(output.shape)}", f"{reference.dtype}{list(reference.shape)}"
        return OutputCheck(np.inf, f"output {name} is {got}, expected {want}")
    flat, expected = output.reshape(-1), reference.reshape(-1)
    parts = [
        _differences(flat[start : start + CHUNK], expected[start : start + CHUNK], start, relative, absolute)
        for start in range(0, flat.size, CHUNK)
    ]
    max_error = max((part.max_error for part in parts), default=0.0)
    count = sum(part.count for part in parts)
    if count == 0:
        return OutputCheck(max_error)
    first = next(part.first for part in parts if part.count)
    position = tuple(int(index) for index in np.unravel_index(first, reference.shape))
    return OutputCheck(
        max_error,
        f"output {name} is wrong in {count} of {flat.size} elements; "
        f"the first, {list(position)}, is {_shown(flat, first)}, expected {_shown(expected, first)}",
    )


def _differences(output: Array, reference: Array, start: int, relative: float, absolute: float) -> _Differences:
    quick = _largest_difference(output, reference)
    if quick <= absolute:
        return _Differences(0, -1, quick)
    actual, expected = _comparable(output), _comparable(reference)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(actual - expected)
        wrong = ~(np.isfinite(difference) & (difference <= absolute + relative * np.abs(expected)))
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    wrong &= ~same
    difference[same] = 0
    difference[np.isnan(difference)] = np.inf
    count = int(np.count_nonzero(wrong))
    first = start + int(np.argmax(wrong)) if count else -1
    return _Differences(count, first, float(difference.max(initial=0.0)))


def _largest_difference(output: Array, reference: Array) -> float:
    """Without conversions where the dtype allows it; NaN means that it must be looked at more closely."""
    if reference.dtype in (np.float32, np.float64):
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.subtract(output, reference)
        return float(max(difference.max(initial=0), -difference.min(initial=0)))
    return 0.0 if np.array_equal(output, reference) else np.nan


def _shown(flat: Array, index: int) -> str:
    return f"{_comparable(flat[index : index + 1])[0]:.9g}"


def _comparable(array: Array) -> npt.NDArray[np.float64]:
    """Values as float64, exact for every dtype up to 32 bits; `uint16` is the storage of bfloat16."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return array.astype(np.float64)
