"""What `Resize` does along one axis: which elements each result is made of, and with which weights.

Coordinates are float32, as ONNX Runtime computes them (ONNX operators, "Resize"; onnx/reference/ops/op_resize.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NEAREST_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_IMPORTED = frozenset({"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn"})
_EPSILON = np.float32(1e-5)
"""Of the importer, before it rounds down or up."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """The attributes of a `Resize` that are the same for all axes."""

    mode: str = "nearest"
    """`nearest`, `linear` or `cubic`."""
    coordinates: str = "half_pixel"
    """`coordinate_transformation_mode`"""
    rounding: str = "round_prefer_floor"
    """`nearest_mode`"""
    cubic: float = -0.75
    """`cubic_coeff_a`"""
    antialias: bool = False
    """Whether windows grow where an axis shrinks."""
    exclude_outside: bool = False
    """Whether weights outside of the tensor count for nothing."""
    extrapolation: float = 0.0
    """`extrapolation_value`"""


@dataclass(frozen=True, slots=True)
class ResizedAxis:
    """One axis of a `Resize`: from `size` elements to `result`."""

    size: int
    result: int
    scale: float
    """Results per element; the quotient of both sizes only where sizes are given."""
    start: float = 0.0
    end: float = 1.0
    """The region of interest, of `tf_crop_and_resize`."""

    @property
    def steps(self) -> float:
        """From the first result to the last; scales need not make a whole number of them (onnx/reference)."""
        length = self.scale * self.size
        return (self.result if math.isclose(length, self.result, rel_tol=1e-5) else length) - 1

    @property
    def is_kept(self) -> bool:
        return self.size == self.result and self.scale == 1.0 and (self.start, self.end) == (0.0, 1.0)


def coordinates(axis: ResizedAxis, how: Interpolation) -> np.ndarray:
    """For each result its place among the elements, a fraction."""
    place, scale = np.arange(axis.result, dtype=np.float32), np.float32(axis.scale)
    half, last, steps = np.float32(0.5), np.float32(axis.size - 1), np.float32(axis.steps or 1.0)
    if how.coordinates == "asymmetric":
        return place / scale
    if how.coordinates == "align_corners":
        return place * last / steps if axis.result > 1 else np.zeros(1, np.float32)
    if how.coordinates == "pytorch_half_pixel":
        return (place + half) / scale - half if axis.result > 1 else np.full(1, -0.5, np.float32)
    if how.coordinates == "tf_half_pixel_for_nn":
        return (place + half) / scale
    if how.coordinates == "tf_crop_and_resize":
        start, width = np.float32(axis.start), np.float32(axis.end - axis.start)
        moved = place * width * last / steps if axis.result > 1 else np.full(1, width * last * half, np.float32)
        return start * last + moved
    offset = np.float32(0)
    if how.coordinates == "half_pixel_symmetric":
        adjustment = np.float32(axis.result) / (scale * np.float32(axis.size))
        offset = np.float32(axis.size) * half * (np.float32(1) - adjustment)
    return offset + (place + half) / scale - half


def nearest(axis: ResizedAxis, how: Interpolation) -> np.ndarray:
    """The element that each result is."""
    place = coordinates(axis, how)
    return np.asarray(np.clip(_rounded(place, how.rounding), 0, axis.size - 1), np.int64)


def _rounded(place: np.ndarray, rounding: str) -> np.ndarray:
    if rounding in ("floor", "ceil"):
        return np.asarray(np.floor(place) if rounding == "floor" else np.ceil(place))
    is_half = place - np.floor(place) == 0.5
    up = np.ceil(place) if rounding == "round_prefer_ceil" else np.floor(place)
    return np.where(is_half, up, np.round(place))


def taps(axis: ResizedAxis, how: Interpolation) -> tuple[np.ndarray, np.ndarray]:
    """For each result the elements that it is a sum of, and their weights; both [results, taps].

    Elements beyond the ends are those at the ends.
    """
    place = coordinates(axis, how).astype(np.float64)
    squeeze = min(axis.scale, 1.0) if how.antialias else 1.0
    reach = {"linear": 1.0, "cubic": 2.0}[how.mode] / squeeze
    first = np.floor(place - reach).astype(np.int64) + 1
    chosen = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    distance = np.abs(chosen - place[:, None]) * squeeze
    weights = np.maximum(1.0 - distance, 0.0) if how.mode == "linear" else _cubic(distance, how.cubic)
    if how.exclude_outside:
        weights = np.where((chosen < 0) | (chosen >= axis.size), 0.0, weights)
    if how.exclude_outside or how.antialias:
        weights = weights / weights.sum(1, keepdims=True)
    used = np.any(weights != 0.0, axis=0)
    return np.clip(chosen, 0, axis.size - 1)[:, used], weights[:, used]


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def outside(axis: ResizedAxis, how: Interpolation) -> np.ndarray:
    """Which results are `extrapolation`, as their place is beyond the elements."""
    if how.coordinates != "tf_crop_and_resize":
        return np.zeros(axis.result, np.bool_)
    place = coordinates(axis, how)
    return (place < 0) | (place > axis.size - 1)


def is_as_imported(axis: ResizedAxis, how: Interpolation) -> bool:
    """Whether the importer's own `Resize`, which knows sizes and no scales, reads the same elements."""
    if how.coordinates not in _IMPORTED or (how.coordinates == "align_corners" and 1 in (axis.size, axis.result)):
        return False
    by_sizes = ResizedAxis(axis.size, axis.result, float(np.float32(axis.result) / np.float32(axis.size)))
    if how.mode != "nearest":
        gap = np.abs(coordinates(by_sizes, how) - coordinates(axis, how)).max(initial=0.0)
        return bool(gap <= 1e-6 * max(axis.size, 8)) and not (how.antialias or how.exclude_outside)
    return np.array_equal(_nearest_as_imported(axis, how), nearest(axis, how))


def _nearest_as_imported(axis: ResizedAxis, how: Interpolation) -> np.ndarray:
    """`tvm.topi.image.resize`: `get_inx` and `get_closest_index`."""
    if how.coordinates == "asymmetric" and axis.result % axis.size == 0:
        return np.arange(axis.result) // (axis.result // axis.size)
    step = np.float32(axis.size) / np.float32(axis.result)
    place, half = np.arange(axis.result, dtype=np.float32), np.float32(0.5)
    if how.coordinates == "align_corners":
        found = np.float32(axis.size - 1) / np.float32(max(axis.result - 1, 1)) * place
    elif how.coordinates == "asymmetric":
        found = step * place
    elif how.coordinates == "tf_half_pixel_for_nn":
        found = (place + half) * step
    elif how.coordinates == "pytorch_half_pixel" and axis.result == 1:
        found = np.zeros(1, np.float32)
    else:
        found = (place + half) * step - half
    rounded = {
        "round_prefer_floor": lambda: np.ceil(found - half),
        "round_prefer_ceil": lambda: np.floor(found + half),
        "floor": lambda: np.floor(found + _EPSILON),
        "ceil": lambda: np.ceil(found - _EPSILON),
    }[how.rounding]()
    return np.asarray(np.clip(rounded, 0, axis.size - 1), np.int64)
