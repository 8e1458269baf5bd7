"""Kernels for where their tensors lie: a function for each kernel and layout of its arguments; copies into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from tvm import te

from flextune.aligned import ALIGNMENT_BYTES
from flextune.apply.element_places import Layout
from flextune.apply.generic import generic_schedule
from flextune.apply.kernel_names import variant_name
from flextune.apply.program import Step, TensorType
from flextune.apply.straight_line import Buffer
from flextune.schedule.strided import Strided, with_strides
from flextune.target.target import Target

_SHARED_BYTES = 1 << 16
"""Copies from this size on are shared among the cores."""


@dataclass(slots=True, eq=False)
class StridedKernels:
    """The functions of a model, by name, with those that are made for layouts."""

    functions: dict[str, Any]
    target: Target
    _variants: dict[tuple[str, tuple[tuple[int, Strided], ...]], str] = field(default_factory=dict)

    def placed(self, step: Step, types: Sequence[TensorType], homes: Sequence[tuple[Buffer, Layout]]) -> Step:
        """The step with a kernel for its arguments where they lie."""
        if step.kernel is None:
            return step
        found = (_strided(kind, *home) for kind, home in zip(types, homes, strict=True))
        strided = {position: each for position, each in enumerate(found) if each is not None}
        return Step(self._variant(step.kernel, strided), step.arguments) if strided else step

    def copy(self, kind: TensorType) -> str:
        """The name of a kernel that copies a tensor."""
        name = "_".join(("copy", kind.dtype, *map(str, kind.static_shape)))
        if name not in self.functions:
            source = te.placeholder(kind.static_shape, kind.dtype, name="source")
            copied = te.compute(kind.static_shape, lambda *index: source[index], name="copied")
            function = te.create_prim_func([source, copied])
            is_large = kind.nbytes >= _SHARED_BYTES
            self.functions[name] = generic_schedule(function, self.target) if is_large else function
        return name

    def _variant(self, kernel: str, strided: Mapping[int, Strided]) -> str:
        key = (kernel, tuple(sorted(strided.items())))
        if key not in self._variants:
            self._variants[key] = variant_name(kernel, self.functions)
            self.functions[self._variants[key]] = with_strides(self.functions[kernel], strided)
        return self._variants[key]


def _strided(kind: TensorType, buffer: Buffer, layout: Layout) -> Strided | None:
    """How a tensor is to be indexed; None where it lies as kernels expect."""
    alignment = gcd(buffer.alignment, layout.offset * kind.itemsize)
    if layout.is_dense and alignment == ALIGNMENT_BYTES:
        return None
    return Strided(layout.strides, alignment)
