"""Finds the loop nests of any PrimFunc, scheduled or not: what is stored, under which loops, from which loads."""

from __future__ import annotations

from dataclasses import dataclass, field

import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import TensorLoad

from flextune.analysis.indices import Bindings, variables_of
from flextune.tvm_types import Buffer, BufferLoad, BufferStore, Expression, PrimFunc, Statement, Variable
from flextune.workload.counting import value_flops

SPATIAL, REDUCE = "spatial", "reduce"
_MARKS = {0: "serial", 1: "parallel", 2: "vectorized", 3: "unrolled", 4: "thread"}
_REDUCE_ITERATOR = 2


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop variable with its constant extent (1 where it is not a constant) and how it is run."""

    variable: Variable
    extent: int
    mark: str

    @property
    def name(self) -> str:
        return str(self.variable.name)


@dataclass(frozen=True, slots=True)
class Reference:
    """One access: the buffer, its index expressions, the loops around, and what block iterators stand for."""

    buffer: Buffer
    indices: tuple[Expression, ...]
    loops: tuple[Loop, ...]
    bindings: Bindings


@dataclass(slots=True)
class Nest:
    """One node of the program: a block (or, without blocks, one store), while it is being collected."""

    name: str
    """Of the block, or of the buffer that is stored to."""
    loops: list[Loop] = field(default_factory=list)
    """From the outermost in."""
    reduce_variables: list[Variable] = field(default_factory=list)
    """Those that results are summed over."""
    reads: list[Reference] = field(default_factory=list)
    """Elements loaded."""
    writes: list[Reference] = field(default_factory=list)
    """Elements stored."""
    flops: int = 0
    """Operations, all iterations together."""

    def kind_of(self, loop: Loop) -> str:
        return REDUCE if any(loop.variable.same_as(v) for v in self.reduce_variables) else SPATIAL


def collect_nests(func: PrimFunc) -> list[Nest]:
    """The nests of `func` in program order. Initial values of reductions belong to no nest."""
    nests: list[Nest] = []
    _visit(func.body, (), {}, None, nests)
    return nests


def _visit(
    statement: Statement, loops: tuple[Loop, ...], bound: Bindings, nest: Nest | None, nests: list[Nest]
) -> None:
    if isinstance(statement, tirx.BufferStore):
        _record(statement, loops, bound, nest, nests)
    elif isinstance(statement, tirx.For):
        extent = int(statement.extent) if isinstance(statement.extent, tirx.IntImm) else 1
        loop = Loop(statement.loop_var, extent, _MARKS[int(statement.kind)])
        _visit(statement.body, (*loops, loop), bound, nest, nests)
    elif isinstance(statement, s_tir.SBlockRealize):
        _visit_block(statement, loops, bound, nests)
    elif isinstance(statement, tirx.SeqStmt):
        for child in statement:
            _visit(child, loops, bound, nest, nests)
    elif isinstance(statement, tirx.IfThenElse):
        for branch in (statement.then_case, statement.else_case):
            if branch is not None:
                _visit(branch, loops, bound, nest, nests)
    elif hasattr(statement, "body"):
        _visit(statement.body, loops, bound, nest, nests)


def _visit_block(realize: Statement, loops: tuple[Loop, ...], bound: Bindings, nests: list[Nest]) -> None:
    block = realize.block
    inner = {**bound, **{it.var: value for it, value in zip(block.iter_vars, realize.iter_values, strict=True)}}
    nest = Nest(str(block.name_hint))
    for iterator in block.iter_vars:
        if int(iterator.iter_type) == _REDUCE_ITERATOR:
            nest.reduce_variables += variables_of(iterator.var, inner)
    before = len(nests)
    _visit(block.body, loops, inner, nest, nests)
    if nest.writes:
        nests.insert(before, nest)


def _record(store: BufferStore, loops: tuple[Loop, ...], bound: Bindings, nest: Nest | None, nests: list[Nest]) -> None:
    if nest is None:
        nest = Nest(str(store.buffer.name))
        nests.append(nest)
    write = Reference(store.buffer, tuple(store.indices), loops, bound)
    nest.writes.append(write)
    loads: list[BufferLoad] = []
    tvm_ffi.structural_walk([store.value, *store.indices], (TensorLoad, loads.append))
    for load in loads:
        nest.reads.append(Reference(load.source, tuple(load.indices), loops, bound))
    nest.loops += [loop for loop in loops if not any(loop.variable.same_as(known.variable) for known in nest.loops)]
    nest.flops += value_flops(store.value) * _trips(loops)
    if not nest.reduce_variables:
        used = [variable for index in write.indices for variable in variables_of(index, bound)]
        nest.reduce_variables += [loop.variable for loop in loops if not any(loop.variable.same_as(v) for v in used)]


def _trips(loops: tuple[Loop, ...]) -> int:
    product = 1
    for loop in loops:
        product *= loop.extent
    return product
