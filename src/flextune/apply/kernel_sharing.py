"""Kernels that one core is faster at alone where sizes are small: an attribute says of which sizes that is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flextune.analysis.sizes_of_shapes import plain
from flextune.apply.kernel_variants import sizes_in_call
from flextune.apply.program import Size, Step, TensorType
from flextune.tvm_types import PrimFunc
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr

_CYCLES = "flextune.cycles_to_share"


def with_cycles_to_share(function: PrimFunc, cycles: DimExpr | None) -> PrimFunc:
    """The function with what `flextune.analysis.sharing.cycles_to_share` says of it."""
    return function if cycles is None else function.with_attr(_CYCLES, str(cycles))


def steps_alone(
    steps: Sequence[Step], tensors: Sequence[TensorType], functions: Mapping[str, PrimFunc], dims: Sequence[Dim]
) -> Iterator[tuple[int, Size]]:
    """Steps that are for one core at some sizes of these ranges, with a number that is 0 there."""
    ranges = {dim.name: dim for dim in dims}
    for number, step in enumerate(steps):
        function = None if step.kernel is None else functions[step.kernel]
        if function is None or _CYCLES not in (function.attrs or {}):
            continue
        cycles = DimExpr.parse(str(function.attrs[_CYCLES])).substitute(sizes_in_call(function, step, tensors))
        if cycles.bounds(ranges)[0] <= 0:
            yield number, plain(cycles)
