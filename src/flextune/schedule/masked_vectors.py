"""The end of an axis of symbolic length as one vector, of which a masked store writes what there is.

before:  for l in vectorized(16): if base + l < n: y[base + l] = f(x[base + l], accumulator[l])
after:   given = masked load of x[base .. base + 15];  for l in vectorized(16): result[l] = f(given[l], accumulator[l])
         masked store of result to y[base .. base + 15]                    (the mask is l < n - base)

Accumulators stay in registers: each of their lanes is named by a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call, Range, TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.indices import mentions
from flextune.target.target import Target
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, Expression, Statement, TirTree, Variable

_MASKED = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")
"""Element types that are loaded and stored under a mask."""


def has_masked_stores(target: Target) -> bool:
    """Whether the processor stores parts of vectors at once; for others LLVM tests every element."""
    return target.has("avx2")


def masked_vector(loop: Statement, guard: Expression, predicate: Expression) -> list[Statement] | None:
    """The vector loop under a mask, where `predicate` holds; None where what it reads or writes is not one vector.

    `guard` is `a < b` with a left side that grows by one a lane; no other guard reads the lanes.
    """
    block = loop.body.block
    if (
        int(loop.extent) < 2
        or not isinstance(block.body, tirx.BufferStore)
        or block.init is not None
        or len(block.alloc_buffers)
    ):
        return None
    try:
        return [_Vector(loop, guard).statement(predicate)]
    except _NoVectorError:
        return None


class _NoVectorError(Exception):
    """Elements of the lanes do not follow each other in memory, or cannot be loaded or stored under a mask."""


@dataclass(slots=True)
class _Vector:
    loop: Statement
    guard: Expression
    given: list[tuple[BufferLoad, Buffer]] = field(default_factory=list)
    """What is loaded under the mask, and the local memory that it is in."""

    @property
    def lane(self) -> Variable:
        return self.loop.loop_var

    @property
    def lanes(self) -> int:
        return int(self.loop.extent)

    def statement(self, predicate: Expression) -> Statement:
        """A block of the loads, the loop, and the store."""
        realize = self.loop.body
        names = {it.var: value for it, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)}
        store = _replaced(realize.block.body, names)
        self._check_all(store)
        value = tvm_ffi.structural_map(store.value, (TensorLoad, self._loaded))
        result, lane = (
            self._local(str(store.buffer.ty.dtype), "result"),
            tirx.Var(f"{self.lane.name}_all", self.lane.ty),
        )
        compute = tirx.BufferStore(result, _replaced(value, {self.lane: lane}), [lane])
        steps = [
            *(self._load(load, buffer) for load, buffer in self.given),
            tirx.For(lane, self.loop.min, self.loop.extent, tirx.ForKind.VECTORIZED, compute),
            self._store(store, result),
        ]
        regions = ([self._whole(each, names) for each in side] for side in (realize.block.reads, realize.block.writes))
        buffers = [result, *(buffer for _, buffer in self.given)]
        name = f"{realize.block.name_hint}_masked"
        return SBlockRealize([], predicate, SBlock([], *regions, name, tirx.SeqStmt(steps), alloc_buffers=buffers))

    def _check_all(self, store: Statement) -> None:
        """What is computed under a condition may not be there to be loaded."""
        loads: list[BufferLoad] = []
        calls: list[Expression] = []
        tvm_ffi.structural_walk(store.value, [(TensorLoad, loads.append), (Call, calls.append)])
        if any(str(getattr(call.op, "name", "")).endswith("if_then_else") for call in calls):
            raise _NoVectorError
        self._check(store.buffer, store.indices)
        for load in filter(self._is_given, loads):
            self._check(load.source, load.indices)

    def _is_given(self, load: BufferLoad) -> bool:
        """Whether it is no accumulator, and another element in each lane."""
        return str(load.source.scope()) != "local" and any(mentions(index, self.lane) for index in load.indices)

    def _loaded(self, load: BufferLoad) -> BufferLoad:
        """A load in the loop: of what was loaded before, where it is such."""
        if not self._is_given(load):
            return load
        buffer = self._local(str(load.source.ty.dtype), f"given{len(self.given)}")
        self.given.append((load, buffer))
        return tirx.BufferLoad(buffer, [self.lane])

    def _check(self, buffer: Buffer, indices: Sequence[Expression]) -> None:
        *outer, last = indices
        step = tvm.sym.detect_linear_equation(last, [self.lane])
        dense = len(step) == 2 and isinstance(step[0], tirx.IntImm) and int(step[0]) == 1
        if not dense or any(mentions(index, self.lane) for index in outer):
            raise _NoVectorError
        if str(buffer.ty.dtype) not in _MASKED or str(buffer.scope()) == "local":
            raise _NoVectorError

    def _local(self, dtype: str, name: str) -> Buffer:
        return tirx.decl_buffer((self.lanes,), dtype, f"{self.lane.name}_{name}", scope="local")

    def _everywhere(self) -> list[Expression]:
        return [tirx.Ramp(tirx.IntImm("int32", 0), tirx.IntImm("int32", 1), self.lanes)]

    def _mask(self) -> Expression:
        left = tirx.Cast("int32", self.guard.b - self._first(self.guard.a))
        numbers = tirx.Ramp(tirx.IntImm("int32", 0), tirx.IntImm("int32", 1), self.lanes)
        return tirx.LT(numbers, tirx.Broadcast(left, self.lanes))

    def _first(self, tree: TirTree) -> TirTree:
        """An expression at the first lane."""
        return _replaced(tree, {self.lane: self.loop.min})

    def _place(self, buffer: Buffer, indices: Sequence[Expression]) -> Expression:
        return tirx.address_of(tirx.BufferLoad(buffer, [self._first(index) for index in indices]))

    def _load(self, load: BufferLoad, buffer: Buffer) -> Statement:
        dtype = str(buffer.ty.dtype)
        nothing = tirx.Broadcast(tirx.const(0, dtype), self.lanes)
        place = self._place(load.source, load.indices)
        value = tirx.call_llvm_pure_intrin(f"{dtype}x{self.lanes}", "llvm.masked.load", place, self._mask(), nothing)
        return tirx.BufferStore(buffer, value, self._everywhere())

    def _store(self, store: Statement, result: Buffer) -> Statement:
        value, place = tirx.BufferLoad(result, self._everywhere()), self._place(store.buffer, store.indices)
        return tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.masked.store", value, place, self._mask()))

    def _whole(self, region: BufferRegion, names: dict[Variable, Expression]) -> BufferRegion:
        """What all lanes read or write of what one of them does."""
        parts = []
        for part in region.region:
            begin = _replaced(part.min, names)
            more = self.lanes - 1 if mentions(begin, self.lane) else 0
            parts.append(Range.from_min_extent(self._first(begin), part.extent + more))
        return tirx.BufferRegion(region.source, parts)


def _replaced(tree: TirTree, values: dict[Variable, Expression]) -> TirTree:
    return tvm_ffi.structural_map(tree, (tirx.Var, lambda variable: values.get(variable, variable)))
