"""Features brought to one size, for models in which sizes matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.cost.features import Features, Numbers

Single = npt.NDArray[np.float32]

_FAR = 4
_LEAST_SIZE = 1e-6


@dataclass(frozen=True, slots=True)
class Scaling:
    """A linear function of each column; columns of one value are left out, and missing values are in the middle."""

    used: tuple[int, ...]
    middle: Single
    size: Single
    columns: int

    @classmethod
    def to_unit_deviation(cls, rows: Features) -> Scaling:
        """To mean 0 and standard deviation 1 over these rows."""
        known = np.isfinite(rows)
        counts = np.maximum(known.sum(axis=0), 1)
        middle = np.where(known, rows, 0).sum(axis=0) / counts
        deviation = np.sqrt((np.where(known, rows - middle, 0) ** 2).sum(axis=0) / counts)
        return cls._of(middle, deviation)

    @classmethod
    def to_unit_range(cls, rows: Features) -> Scaling:
        """To a range of 1 around 0 over these rows."""
        low = np.where(np.isfinite(rows), rows, np.inf).min(axis=0)
        high = np.where(np.isfinite(rows), rows, -np.inf).max(axis=0)
        low, high = (np.where(np.isfinite(each), each, 0) for each in (low, high))
        return cls._of((low + high) / 2, high - low)

    @classmethod
    def _of(cls, middle: npt.NDArray[np.floating], size: npt.NDArray[np.floating]) -> Scaling:
        used = np.flatnonzero(size > _LEAST_SIZE)
        return cls(tuple(used.tolist()), middle[used].astype(np.float32), size[used].astype(np.float32), len(size))

    def scaled(self, rows: Features) -> Single:
        """The columns in use, at most a few sizes away from what was seen."""
        found = (rows[:, list(self.used)] - self.middle) / self.size
        return np.ascontiguousarray(np.where(np.isfinite(found), np.clip(found, -_FAR, _FAR), 0), dtype=np.float32)

    def spread(self, values: Numbers) -> Numbers:
        """Values of the used columns as values of all."""
        result = np.zeros(self.columns)
        result[list(self.used)] = values
        return result
