"""What is known of a model's input or output. Apart from reading models, so that running one needs no ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from flextune.workload.dim_expr import DimExpr
from flextune.workload.element_type import BFLOAT16


@lru_cache
def array_type(name: str) -> np.dtype[Any]:
    """The NumPy type of that name; those that NumPy lacks, such as bfloat16, are those of `ml_dtypes`."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # few models need it

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype


STORAGE: Mapping[str, str] = {
    BFLOAT16.name: BFLOAT16.storage,
    **dict.fromkeys(("int2", "int4", "uint2", "uint4", "float4_e2m1fn"), "uint8"),
    **{f"float8_{kind}": "uint8" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")},
}
"""Types that generated code takes for another one of as many bytes, and these; NumPy keeps one element in a byte."""


UNKNOWN = -1
"""A size that is known only when the model runs."""


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """An input or output of a model: name, shape, NumPy dtype name.

    What only another runtime computes with may also have a size that is not known before it runs (`UNKNOWN`), or an
    ONNX type that is no array of numbers, by its text: `string`, `sequence(float32)`, `tensor(float32)` for a tensor of
    any number of dimensions. Of sizes that follow from dimensions of the model's inputs, `sizes` says how.

    >>> str(ValueSpec("boxes", (UNKNOWN, 4), "float32")), str(ValueSpec("parts", (), "sequence(float32)"))
    ('boxes: float32[?, 4]', 'parts: sequence(float32)')
    >>> text = ValueSpec.symbolic("text", (DimExpr.of("batch"), 2 * DimExpr.of("seq"), 4), "int64")
    >>> str(text), text.bind({"batch": 3, "seq": 5}).shape
    ('text: int64[batch, 2*seq, 4]', (3, 10, 4))
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    sizes: tuple[DimExpr, ...] = ()
    """One for each axis where any depends on dimensions; else none."""

    def __str__(self) -> str:
        if "(" in self.dtype:
            return f"{self.name}: {self.dtype}"
        sizes: Sequence[object] = self.sizes or ["?" if size == UNKNOWN else size for size in self.shape]
        return f"{self.name}: {self.dtype}[{', '.join(map(str, sizes))}]"

    @classmethod
    def symbolic(cls, name: str, sizes: Sequence[int | DimExpr], dtype: str) -> ValueSpec:
        """Of sizes that may depend on dimensions; those that do are `UNKNOWN` in its shape."""
        expressions = tuple(map(DimExpr.of, sizes))
        shape = tuple(UNKNOWN if size.value is None else size.value for size in expressions)
        return cls(name, shape, dtype, expressions if UNKNOWN in shape else ())

    @property
    def axis_sizes(self) -> tuple[int | DimExpr, ...]:
        """Numbers, and expressions where the size depends on dimensions."""
        if not self.sizes:
            return self.shape
        return tuple(each if size == UNKNOWN else size for size, each in zip(self.shape, self.sizes, strict=True))

    def bind(self, sizes: Mapping[str, int]) -> ValueSpec:
        """The same for these sizes of the dimensions."""
        if not self.sizes:
            return self
        return replace(self, shape=tuple(size.bind(sizes) for size in self.sizes), sizes=())

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
