"""Facts about one tensor of a workload, and how close a result must be to the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FLOAT32_ROUNDING = 2.0**-24


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter of a workload's function.

    `dtype` is what the memory holds: a bfloat16 tensor is stored as `uint16`. `constant` tells that the values are
    known before the program runs (weights of a model), so that rearranging them costs no run time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A result `got` is right when `|got - want| <= absolute + relative * |want|` for every element."""

    relative: float
    absolute: float

    def excess(self, got: np.ndarray, want: np.ndarray) -> float:
        """The largest error as a multiple of what is allowed: at most 1 for a right result, infinity for a NaN.

        Where the reference itself is NaN or infinite the result must be the same. For a tolerance of zero the
        answer is 0 or infinity.
        """
        if got.shape != want.shape:
            return math.inf
        if got.size == 0 or np.array_equal(got, want):
            return 0.0
        exact = np.asarray(want, dtype=np.float64)
        given = np.asarray(got, dtype=np.float64)
        finite = np.isfinite(exact)
        if not np.array_equal(given[~finite], exact[~finite], equal_nan=True):
            return math.inf
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(given - exact)[finite] / (self.absolute + self.relative * np.abs(exact[finite]))
        ratio = np.where(given[finite] == exact[finite], 0.0, ratio)
        return math.inf if np.isnan(ratio).any() else float(ratio.max(initial=0.0))

    def accepts(self, got: np.ndarray, want: np.ndarray) -> bool:
        return self.excess(got, want) <= 1.0
