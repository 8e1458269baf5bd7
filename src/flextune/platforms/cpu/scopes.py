"""Marks that say where something is: what TVM's builder of statements leaves behind, and memory that is local."""

from __future__ import annotations

import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlock

from flextune.tvm_types import Buffer, Statement

_SCOPE = "pragma_scope"


def without_scopes(body: Statement) -> Statement:
    """Without the marks of the builder's scopes: LLVM's code generator warns of every one."""
    return tvm_ffi.structural_map(body, (tirx.AttrStmt, lambda node: node.body if node.attr_key == _SCOPE else node))


def on_the_stack(body: Statement) -> Statement:
    """With local buffers as any others, which TVM puts on the stack where they are small.

    Local ones it asks its pool of memory for, whatever their size, in every task: that takes longer than to use them,
    and LLVM cannot keep them in registers. What an intrinsic asks for as local memory stays.
    """
    plain: dict[Buffer, Buffer] = {}
    asked: list[Buffer] = []

    def visit(block: SBlock) -> None:
        asked.extend(match.source.source for match in block.match_buffers)
        for buffer in block.alloc_buffers:
            if str(buffer.scope()) == "local":
                plain[buffer] = tirx.decl_buffer(buffer.ty.shape, str(buffer.ty.dtype), buffer.name)

    tvm_ffi.structural_walk(body, (SBlock, visit))
    for buffer in asked:
        plain.pop(buffer, None)
    return tvm_ffi.structural_map(body, (tirx.Var, lambda buffer: plain.get(buffer, buffer))) if plain else body
