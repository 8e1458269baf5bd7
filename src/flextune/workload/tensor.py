"""Facts about one tensor of a workload, and how close a result must be to the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flextune.errors import UsageError
from flextune.workload.element_type import ElementType

FLOAT32_ROUNDING = 2.0**-24


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter of a workload's function.

    `element` is what its elements are. `constant` tells that the values are known before the program runs (weights of
    a model), so that rearranging them costs no run time.
    """

    name: str
    shape: tuple[int, ...]
    element: ElementType
    constant: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.element, ElementType):
            raise UsageError(
                f"{self.name}: expected an ElementType such as element_type('float32'), got {self.element!r}"
            )

    @property
    def dtype(self) -> str:
        """What the memory holds, as NumPy calls it: uint16 for a bfloat16 tensor."""
        return self.element.storage

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.element.bytes


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A result `got` is right when `|got - want| <= absolute + relative * |want|` for every element.

    Integers and truth values must not differ by more than `whole`, whatever the floats beside them may.
    """

    relative: float
    absolute: float
    whole: float = 0.0

    def excess(self, got: np.ndarray, want: np.ndarray) -> float:
        """The largest error as a multiple of what is allowed: at most 1 for a right result, infinity for a NaN.

        The arrays hold the numbers themselves (`ElementType.decode` gives them from stored ones).

        Where the reference itself is NaN or infinite the result must be the same. For a tolerance of zero the
        answer is 0 or infinity.
        """
        if got.shape != want.shape or got.dtype.kind != want.dtype.kind:
            return math.inf
        if got.size == 0 or np.array_equal(got, want):
            return 0.0
        if want.dtype.kind in "iub":
            most = float(whole_distance(got, want).max())
            return most / self.whole if self.whole else math.inf
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


def whole_distance(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """How far integers (or truth values) are apart, exactly, also beyond what float64 or their own type holds."""
    larger, smaller = np.maximum(got, want), np.minimum(got, want)
    return np.asarray(larger.astype(np.uint64) - smaller.astype(np.uint64))  # modulo 2^64, which the result is below
