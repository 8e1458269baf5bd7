"""Comparison of a candidate's outputs with the reference, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.platforms.base import Array
from flextune.workload.element_type import ElementType
from flextune.workload.tensor import TensorSpec, Tolerance, whole_distance
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


def poison(reference: Array, element: ElementType) -> Array:
    """An array that is wrong in every element, so that one left unwritten is seen."""
    return element.other(reference)


def check_outputs(workload: Workload, outputs: Sequence[Array], references: Sequence[Array]) -> OutputCheck:
    """Compare every element within `workload.tolerance()`; NaN and infinity must stand where the reference has them."""
    tolerance = workload.tolerance()
    checks = [
        _check_one(spec, output, reference, tolerance)
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


def _check_one(spec: TensorSpec, output: Array, reference: Array, tolerance: Tolerance) -> OutputCheck:
    if output.shape != reference.shape or output.dtype != reference.dtype:
        got, want = f"{output.dtype}{list(output.shape)}", f"{reference.dtype}{list(reference.shape)}"
        return OutputCheck(np.inf, f"output {spec.name} is {got}, expected {want}")
    flat, expected = output.reshape(-1), reference.reshape(-1)
    parts = [
        _differences(spec.element, flat[start : start + CHUNK], expected[start : start + CHUNK], start, tolerance)
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
        f"output {spec.name} is wrong in {count} of {flat.size} elements; the first, {list(position)}, "
        f"is {_shown(spec.element, flat, first)}, expected {_shown(spec.element, expected, first)}",
    )


def _differences(
    element: ElementType, output: Array, reference: Array, start: int, tolerance: Tolerance
) -> _Differences:
    if element.is_float:
        return _float_differences(element, output, reference, start, tolerance)
    distance = whole_distance(element.decode(output), element.decode(reference))
    return _found(distance > tolerance.whole, start, float(distance.max(initial=0)))


def _float_differences(
    element: ElementType, output: Array, reference: Array, start: int, tolerance: Tolerance
) -> _Differences:
    quick = _largest_difference(output, reference)
    if quick <= tolerance.absolute:
        return _Differences(0, -1, quick)
    actual, expected = (element.decode(array).astype(np.float64) for array in (output, reference))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(actual - expected)
        wrong = ~(np.isfinite(difference) & (difference <= tolerance.absolute + tolerance.relative * np.abs(expected)))
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    wrong &= ~same
    difference[same] = 0
    difference[np.isnan(difference)] = np.inf
    return _found(wrong, start, float(difference.max(initial=0.0)))


def _found(wrong: npt.NDArray[np.bool_], start: int, max_error: float) -> _Differences:
    count = int(np.count_nonzero(wrong))
    return _Differences(count, start + int(np.argmax(wrong)) if count else -1, max_error)


def _largest_difference(output: Array, reference: Array) -> float:
    """Without conversions where the memory holds floats; NaN means that it must be looked at more closely."""
    if reference.dtype in (np.float32, np.float64):
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.subtract(output, reference)
        return float(max(difference.max(initial=0), -difference.min(initial=0)))
    return 0.0 if np.array_equal(output, reference) else np.nan


def _shown(element: ElementType, flat: Array, index: int) -> str:
    value = element.decode(flat[index : index + 1])[0]
    return f"{value:.9g}" if element.is_float else str(value)
