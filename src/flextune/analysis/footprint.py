"""How many distinct elements a reference touches under some of its loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.analysis.indices import UnknownIndexError, evaluate, variables_of
from flextune.analysis.loop_nests import Loop, Reference
from flextune.tvm_types import Buffer, Variable

_EVALUATED_POINTS = 1 << 18


@dataclass(frozen=True, slots=True)
class Footprint:
    """`accesses` with repetition, `elements` without; upper bounds where not `exact`."""

    accesses: int
    elements: int
    exact: bool

    @property
    def reuse(self) -> float:
        """Accesses per distinct element."""
        return self.accesses / self.elements if self.elements else 0.0


def footprint(reference: Reference, level: int) -> Footprint:
    """What `reference` touches while its loops from position `level` on run and the outer ones stand in the middle.

    Positions outside the buffer (under a guard that keeps them from being read) do not count.
    """
    shape = _static_shape(reference.buffer)
    inner = reference.loops[level:]
    repetitions, accesses, elements, exact = _trips(inner), 1, 1, True
    for dimensions, loops in _components(reference, inner):
        points = _trips(loops)
        repetitions //= points
        counted = _count_points(reference, dimensions, loops, shape)
        if counted is None:
            counted = points, min(points, math.prod(shape[d] for d in dimensions))
            exact = False
        accesses *= counted[0]
        elements *= counted[1]
    return Footprint(accesses * repetitions, elements, exact)


def _components(reference: Reference, inner: Sequence[Loop]) -> list[tuple[list[int], list[Loop]]]:
    """Dimensions of the buffer that share loops, with those loops; independent groups multiply."""
    groups: list[tuple[list[int], list[Loop]]] = []
    for dimension, index in enumerate(reference.indices):
        used = variables_of(index, reference.bindings)
        loops = [loop for loop in inner if any(loop.variable.same_as(v) for v in used)]
        dimensions = [dimension]
        for group in [g for g in groups if any(loop in loops for loop in g[1])]:
            groups.remove(group)
            dimensions += group[0]
            loops += [loop for loop in group[1] if loop not in loops]
        groups.append((dimensions, loops))
    return groups


def _count_points(
    reference: Reference, dimensions: Sequence[int], loops: Sequence[Loop], shape: Sequence[int]
) -> tuple[int, int] | None:
    """(points inside the buffer, distinct ones); None where there are too many points or an index is unknown."""
    if _trips(loops) > _EVALUATED_POINTS:
        return None
    values: dict[Variable, np.ndarray] = {loop.variable: np.asarray(loop.extent // 2) for loop in reference.loops}
    for axis, loop in enumerate(loops):
        values[loop.variable] = np.arange(loop.extent).reshape([-1 if a == axis else 1 for a in range(len(loops))])
    space = tuple(loop.extent for loop in loops)
    address, inside = np.zeros(space, dtype=np.int64), np.ones(space, dtype=bool)
    try:
        for dimension in dimensions:
            position = evaluate(reference.indices[dimension], values, reference.bindings)
            address = address * shape[dimension] + position
            inside &= (position >= 0) & (position < shape[dimension])
    except UnknownIndexError:
        return None
    met = address[inside]
    return int(met.size), int(np.unique(met).size)


def _static_shape(buffer: Buffer) -> list[int]:
    return [int(extent) if hasattr(extent, "value") else 1 for extent in buffer.ty.shape]


def _trips(loops: Sequence[Loop]) -> int:
    return math.prod(loop.extent for loop in loops)


def dtype_bits(dtype: str) -> int:
    """Bits of one element.

    >>> dtype_bits("float32"), dtype_bits("uint8"), dtype_bits("bool")
    (32, 8, 8)
    """
    digits = "".join(c for c in dtype if c.isdigit())
    return int(digits) if digits else 8
