"""What is known of a model's input or output. Apart from reading models, so that running one needs no ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache
def array_type(name: str) -> np.dtype[Any]:
    """The NumPy type of that name; those that NumPy lacks, such as bfloat16, are those of `ml_dtypes`."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # few models need it

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype


UNKNOWN = -1
"""A size that is known only when the model runs."""


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """An input or output of a model: name, shape, NumPy dtype name.

    What only another runtime computes with may also have a size that is not known before it runs (`UNKNOWN`), or an
    ONNX type that is no array of numbers, by its text: `string`, `sequence(float32)`, `tensor(float32)` for a tensor of
    any number of dimensions.

    >>> str(ValueSpec("boxes", (UNKNOWN, 4), "float32")), str(ValueSpec("parts", (), "sequence(float32)"))
    ('boxes: float32[?, 4]', 'parts: sequence(float32)')
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        if "(" in self.dtype:
            return f"{self.name}: {self.dtype}"
        return f"{self.name}: {self.dtype}[{', '.join('?' if size == UNKNOWN else str(size) for size in self.shape)}]"

    @property
    def is_static(self) -> bool:
        """Whether it is an array of numbers whose size is known."""
        return self.is_numeric and UNKNOWN not in self.shape

    @property
    def is_numeric(self) -> bool:
        """Whether it is an array of numbers."""
        return self.dtype != "string" and "(" not in self.dtype

    def random_array(self, rng: np.random.Generator) -> np.ndarray:
        """Normal values for floats, 0 or 1 for integers and booleans (always a valid index); words for strings."""
        if self.dtype == "string":
            return rng.choice(np.array(["a", "b"], object), self.shape)
        dtype = array_type(self.dtype)
        if dtype.kind in "iub":
            return rng.integers(0, 2, self.shape).astype(dtype)
        return rng.standard_normal(self.shape).astype(dtype)


def random_values(specs: Sequence[ValueSpec], seed: int) -> dict[str, np.ndarray]:
    """One seeded array for each of several inputs, by name."""
    rng = np.random.default_rng(seed)
    return {spec.name: spec.random_array(rng) for spec in specs}
