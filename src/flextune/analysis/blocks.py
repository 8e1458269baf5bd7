"""Structural facts about a PrimFunc: its blocks, their loops, and how each block accesses each buffer.

The functions read are those of `te.create_prim_func` and of Relax legalisation and fusion: a root block
that holds a sequence of loop nests, each with exactly one block, whose iterators are bound one to one to the loops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad

from flextune.analysis.program_facts import (
    _STORED,
    REDUCE,
    SPATIAL,
    Access,
    BlockFacts,
    BlockKind,
    BufferFacts,
    Iterator,
    Linear,
    ProgramFacts,
    Term,
)
from flextune.analysis.symbols import is_symbolic, size_at, sizes_of
from flextune.tvm_types import (
    Block,
    Buffer,
    BufferLoad,
    BufferRegion,
    BufferStore,
    Expression,
    IterVar,
    PrimFunc,
    Statement,
    Variable,
)


def read_program(func: PrimFunc) -> ProgramFacts | None:
    """Facts about `func`, or None when its structure is not a plain sequence of loop nests with known sizes.

    Sizes are known where they are static, or symbolic with representative sizes noted (`analysis.symbols`).
    """
    root = func.body
    if type(root).__name__ != "SBlockRealize":
        return None
    body = root.block.body
    statements = list(body) if isinstance(body, tirx.SeqStmt) else [body]
    positions = {buffer: index for index, buffer in enumerate(func.params)}
    positions |= {buffer: -1 - index for index, buffer in enumerate(root.block.alloc_buffers)}
    scope = _Scope(positions, sizes_of(func))
    try:
        blocks = tuple(_read_nest(statement, scope) for statement in statements)
        parameters = tuple(_buffer_facts(p, scope) for p in func.params)
    except _NotPlainError:
        return None
    return ProgramFacts(blocks, parameters, next((str(symbol.ty) for symbol in scope.sizes), "int32"))


class _NotPlainError(Exception):
    """The nest is not of the plain form that `read_program` documents."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scope:
    """What is known of the whole function: where its buffers are, and representative sizes of its symbols."""

    positions: Mapping[Buffer, int]
    sizes: Mapping[Variable, int]

    def extent(self, extent: Expression) -> int:
        """The number that facts have for an extent."""
        known = size_at(extent, self.sizes)
        if known is None:
            raise _NotPlainError
        return known


def _read_nest(statement: Statement, scope: _Scope) -> BlockFacts:
    loops: dict[Variable, int] = {}
    while isinstance(statement, tirx.For):
        loops[statement.loop_var] = scope.extent(statement.extent)
        statement = statement.body
    if type(statement).__name__ != "SBlockRealize":
        raise _NotPlainError
    block = statement.block
    for value, iterator in zip(statement.iter_values, block.iter_vars, strict=True):
        if scope.extent(iterator.dom.extent) != 1 and not any(value.same_as(loop) for loop in loops):
            raise _NotPlainError
    iterators = tuple(_iterator(it, scope) for it in block.iter_vars)
    if len({it.name for it in iterators}) != len(iterators):
        raise _NotPlainError
    variables = {it.var: iterator_name(it.var) for it in block.iter_vars}
    if not isinstance(block.body, tirx.BufferStore) or len(block.writes) != 1:
        return _opaque(block, iterators, scope)
    store = block.body
    reads = tuple(dict.fromkeys(_loads(store.value, variables, scope, exclude=store.buffer)))
    write = _access(store.buffer, store.indices, variables, scope)
    factors = _product_factors(store, variables, scope)
    kind = _kind(iterators, block, factors)
    return BlockFacts(block.name_hint, iterators, reads, (write,), kind, factors, block)


def _opaque(block: Block, iterators: tuple[Iterator, ...], scope: _Scope) -> BlockFacts:
    def region(r: BufferRegion) -> Access:
        facts = _buffer_facts(r.source, scope)
        everything = frozenset(it.name for it in iterators)
        return Access(facts, (None,) * len(facts.shape), (everything,) * len(facts.shape))

    reads, writes = tuple(map(region, block.reads)), tuple(map(region, block.writes))
    return BlockFacts(block.name_hint, iterators, reads, writes, BlockKind.OPAQUE, (), block)


def _kind(iterators: tuple[Iterator, ...], block: Block, factors: tuple[Access, ...]) -> BlockKind:
    if all(it.kind == SPATIAL for it in iterators):
        return BlockKind.ELEMENTWISE
    if block.init is None:
        return BlockKind.OPAQUE
    return BlockKind.CONTRACTION if factors else BlockKind.REDUCTION


def _product_factors(store: BufferStore, variables: Mapping[Variable, str], scope: _Scope) -> tuple[Access, ...]:
    """The two accesses (data, other) of `C[i] = C[i] + f(A[..]) * g(B[..])`, or ()."""
    value = store.value
    if not isinstance(value, tirx.Add):
        return ()
    terms = [
        term
        for accumulator, term in ((value.a, value.b), (value.b, value.a))
        if isinstance(accumulator, TensorLoad) and accumulator.source.same_as(store.buffer)
    ]
    if not terms or not isinstance(term := terms[0], tirx.Mul):
        return ()
    sides = [tuple(_loads(side, variables, scope)) for side in (term.a, term.b)]
    factors = tuple(factor for side in sides if (factor := _factor(side)) is not None)
    return factors if len(factors) == 2 else ()


def _factor(loads: Sequence[Access]) -> Access | None:
    """What one side of a product reads: a single element, or a stored byte besides the scale that widens it."""
    if len(loads) == 1:
        return loads[0]
    stored = {load for load in loads if load.buffer.dtype in _STORED}
    is_widened = len(stored) == 1 and all(load in stored or load.buffer.dtype == "float32" for load in loads)
    return stored.pop() if is_widened else None


def _loads(value: Expression, variables: Mapping[Variable, str], scope: _Scope, exclude: Buffer = None) -> list[Access]:
    found: list[BufferLoad] = []
    tvm_ffi.structural_walk(value, (TensorLoad, found.append))  # what it calls must not raise: TVM changes the type
    return [
        _access(load.source, load.indices, variables, scope)
        for load in found
        if exclude is None or not load.source.same_as(exclude)
    ]


def _access(buffer: Buffer, indices: Sequence[Expression], variables: Mapping[Variable, str], scope: _Scope) -> Access:
    terms, uses = zip(*(_linear(index, variables) for index in indices), strict=True) if indices else ((), ())
    return Access(_buffer_facts(buffer, scope), tuple(terms), tuple(uses))


def _linear(index: Expression, variables: Mapping[Variable, str]) -> tuple[Linear | None, frozenset[str]]:
    """The terms of an index (None where it is not linear), and all iterators in it."""
    if isinstance(index, tirx.IntImm):
        return (), frozenset()
    if isinstance(index, tirx.Var) and index in variables:  # nearly all indices are; the rest is twenty times slower
        name = variables[index]
        return (Term(name, 1),), frozenset((name,))
    used: set[str] = set()
    parts: dict[Variable, tuple[str, int]] = {}
    divided: dict[tuple[str, int], Variable] = {}

    def visit(var: Variable) -> None:
        if var in variables:
            used.add(variables[var])
            parts[var] = variables[var], 1

    def divide(node: Expression) -> Expression:
        if node.a in variables and isinstance(node.b, tirx.IntImm):
            part = variables[node.a], int(node.b)
            return divided.setdefault(part, tirx.Var(part[0], str(node.ty)))
        return node

    tvm_ffi.structural_walk(index, (tirx.Var, visit))
    if not used:
        return (), frozenset()
    index = tvm_ffi.structural_map(index, (tirx.FloorDiv, divide))
    parts |= {var: part for part, var in divided.items()}
    found = tvm.sym.detect_linear_equation(index, list(parts))
    if not found or not all(isinstance(coefficient, tirx.IntImm) for coefficient in found[:-1]):
        return None, frozenset(used)
    pairs = zip(parts.values(), map(int, found[:-1]), strict=True)
    return tuple(Term(name, c, divisor) for (name, divisor), c in pairs if c), frozenset(used)


def _iterator(it: IterVar, scope: _Scope) -> Iterator:
    kinds = {0: SPATIAL, 2: REDUCE}
    if int(it.iter_type) not in kinds:
        raise _NotPlainError
    extent = it.dom.extent
    symbol = extent if is_symbolic(extent) else None
    return Iterator(iterator_name(it.var), scope.extent(extent), kinds[int(it.iter_type)], symbol)


def iterator_name(var: Variable) -> str:
    """A block's iterator as its loop is called: TVM puts `v_` before it."""
    return str(var.name).removeprefix("v_")


def _buffer_facts(buffer: Buffer, scope: _Scope) -> BufferFacts:
    sizes = tuple(extent if is_symbolic(extent) else int(extent) for extent in buffer.ty.shape)
    shape = tuple(map(scope.extent, sizes))
    position = scope.positions.get(buffer, 0)
    is_local = position < 0 or buffer not in scope.positions
    parameter, local = (None, position) if is_local else (position, None)
    return BufferFacts(str(buffer.name), shape, str(buffer.ty.dtype), parameter, local, sizes)
