"""A copy of a tensor that is larger than it, with zeros beyond its own extents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tvm import tirx

from flextune.analysis.symbols import is_symbolic
from flextune.schedule.nest import LoopNest, counted, element_region, same_size
from flextune.tvm_types import Buffer, Expression, Statement


@dataclass(frozen=True, slots=True, eq=False)
class ZeroFilled:
    """`statement` copies `source` into `buffer`."""

    source: Buffer
    buffer: Buffer
    statement: Statement


def zero_filled(source: Buffer, extents: Mapping[int, Expression], block: str, index: str = "int32") -> ZeroFilled:
    """A copy of buffer `source`, made by a block of this name, with the given extents of some dimensions.

    `index` is the type that the function counts in.
    """
    old = [extent if is_symbolic(extent) else int(extent) for extent in source.ty.shape]
    shape = [counted(extents.get(dim, extent), index) for dim, extent in enumerate(old)]
    dtype = str(source.ty.dtype)
    buffer = tirx.decl_buffer(shape, dtype, f"{source.name}_filled")
    nest = LoopNest([(f"d{dim}", extent) for dim, extent in enumerate(shape)], [], index)
    indices = list(nest.vars.values())
    inside = [indices[dim] < old[dim] for dim in extents if not same_size(shape[dim], old[dim])]
    value = tirx.if_then_else(tirx.all(*inside), tirx.BufferLoad(source, indices), tirx.const(0, dtype))
    store = tirx.BufferStore(buffer, value, indices)
    statement = nest.wrap(block, store, [element_region(source, indices)], [element_region(buffer, indices)])
    return ZeroFilled(source, buffer, statement)
