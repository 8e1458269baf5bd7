"""Copies inside a kernel that change nothing: the padding by zero elements of a 1x1 convolution, for instance.

before:  P[i, j] = x[i, j];   C[i, j] += P[i, k] * w[k, j]   -->   after:  C[i, j] += x[i, k] * w[k, j]
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.tvm_types import PrimFunc, Variable


def remove_copies(module: tvm.IRModule) -> tvm.IRModule:
    """Read what was copied in place of a copy of it inside a kernel."""
    changed = {
        name: without_copies(function)
        for name, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    for name, function in changed.items():
        if not function.same_as(module[name]):
            module.update_func(name, function)
    return module


def without_copies(function: PrimFunc) -> PrimFunc:
    """The function without blocks that copy a tensor to one of the same shape inside it; the same one if there is none.

    Functions that are not of the plain form stay as they are.
    """
    program = read_program(function) if _moves_elements(function) else None
    if program is None:
        return function
    copies = [facts for facts in program.blocks if _is_copy(facts)]
    if not copies or len(copies) == len(program.blocks):
        return function
    root = function.body.block
    kept = [statement for facts, statement in zip(program.blocks, root.body, strict=True) if facts not in copies]
    source = {facts.block.body.buffer: facts.block.body.value.source for facts in copies}

    def origin(variable: Variable) -> Variable:
        while variable in source:
            variable = source[variable]
        return variable

    body = tvm_ffi.structural_map(kept[0] if len(kept) == 1 else tirx.SeqStmt(kept), (tirx.Var, origin))
    allocated = [buffer for buffer in root.alloc_buffers if buffer not in source]
    block = SBlock([], [], [], root.name_hint, body, alloc_buffers=allocated, annotations=root.annotations)
    return tirx.PrimFunc(list(function.params), SBlockRealize([], True, block), function.ret_type, attrs=function.attrs)


def _moves_elements(function: PrimFunc) -> bool:
    """Whether something stores an element as it was read, as every copy does: that is quick to know."""
    found: list[bool] = []
    tvm_ffi.structural_walk(
        function.body, (tirx.BufferStore, lambda store: found.append(isinstance(store.value, TensorLoad)))
    )
    return any(found)


def _is_copy(facts: BlockFacts) -> bool:
    if facts.kind is not BlockKind.ELEMENTWISE or facts.output.parameter is not None or len(facts.reads) != 1:
        return False
    if not isinstance(facts.block.body.value, TensorLoad):
        return False
    source, result = facts.reads[0], facts.writes[0]
    same = (source.buffer.shape, source.buffer.dtype) == (result.buffer.shape, result.buffer.dtype)
    axes = result.plain_axes()
    whole = all(it.extent == 1 or it.name in (axes or ()) for it in facts.iterators)
    covered = axes is not None and all(
        axis is None or facts.extent(axis) == extent for axis, extent in zip(axes, result.buffer.shape, strict=True)
    )
    return same and whole and covered and _aligned(source.plain_axes(), axes, result.buffer.shape)


def _aligned(
    read: tuple[str | None, ...] | None, written: tuple[str | None, ...] | None, shape: tuple[int, ...]
) -> bool:
    if read is None or written is None:
        return False
    return all(extent == 1 or left == right for left, right, extent in zip(read, written, shape, strict=True))
