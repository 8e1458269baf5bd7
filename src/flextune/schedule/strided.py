"""A scheduled function on tensors that are parts of larger ones: their strides, and what is known of their alignment.

before:  def f(x: Buffer((4, 8)), ...)   -->   after:  def f(x: Buffer((4, 8), strides=(24, 1), align=16), ...)

Only the types of parameters change, so this is done last and no trace or workload knows of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad
from tvm.s_tir import SBlock

from flextune.tvm_types import Block, Buffer, PrimFunc


@dataclass(frozen=True, slots=True)
class Strided:
    """Elements between neighbours along each axis, and the power of two that divides the address in bytes."""

    strides: tuple[int, ...]
    alignment_bytes: int


def indexed_parameters(function: PrimFunc) -> frozenset[int]:
    """Positions of the parameters that the function only reads and writes element by element, by their indices.

    Others are passed on as a whole, or matched with a buffer of their own strides, and must lie densely.
    """
    seen: Counter[Buffer] = Counter()
    indexed: Counter[Buffer] = Counter()

    def block(node: Block) -> None:
        indexed.update(region.source for region in (*node.reads, *node.writes))

    tvm_ffi.structural_walk(
        function.body,
        [
            (tirx.Var, lambda variable: seen.update([variable])),
            (TensorLoad, lambda load: indexed.update([load.source])),
            (tirx.BufferStore, lambda store: indexed.update([store.buffer])),
            (SBlock, block),
        ],
    )
    return frozenset(index for index, buffer in enumerate(function.params) if seen[buffer] == indexed[buffer])


def with_strides(function: PrimFunc, layouts: Mapping[int, Strided]) -> PrimFunc:
    """The function for parameters (by position) that lie as `layouts` says; all of them must be indexed ones."""
    changed = {function.params[index]: _strided(function.params[index], each) for index, each in layouts.items()}
    body = tvm_ffi.structural_map(function.body, (tirx.Var, lambda variable: changed.get(variable, variable)))
    parameters = [changed.get(buffer, buffer) for buffer in function.params]
    return tirx.PrimFunc(parameters, body, function.ret_type, attrs=function.attrs)


def _strided(buffer: Buffer, layout: Strided) -> Buffer:
    kind = buffer.ty
    strides = [tirx.IntImm(str(size.ty), stride) for size, stride in zip(kind.shape, layout.strides, strict=True)]
    return tirx.decl_buffer(
        kind.shape,
        str(kind.dtype),
        str(buffer.name),
        strides=strides,
        data_alignment=layout.alignment_bytes,
        layout=None,
    )
