"""What is known of a model's input or output. Apart from reading models, so that running one needs no ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from flextune.workload.element_type import BFLOAT16


@lru_cache
def array_type(name: str) -> np.dtype[Any]:
    """The NumPy type of that name; bfloat16 is that of `ml_dtypes`."""
    if name == BFLOAT16.name:
        import ml_dtypes  # registers the name with NumPy; few models need it

        dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """An input or output of a model: name, static shape, NumPy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"

    def random_array(self, rng: np.random.Generator) -> np.ndarray:
        """Normal values for floats, 0 or 1 for integers and booleans (always a valid index)."""
        dtype = array_type(self.dtype)
        if dtype.kind in "iub":
            return rng.integers(0, 2, self.shape).astype(dtype)
        return rng.standard_normal(self.shape).astype(dtype)


def random_values(specs: Sequence[ValueSpec], seed: int) -> dict[str, np.ndarray]:
    """One seeded array for each of several inputs, by name."""
    rng = np.random.default_rng(seed)
    return {spec.name: spec.random_array(rng) for spec in specs}
