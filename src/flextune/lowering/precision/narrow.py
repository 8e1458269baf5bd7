"""One PrimFunc with some of its tensors stored as bfloat16, and its products of matrices taken from bfloat16.

before:  P[..] = pad(x[..]);     C[..] += P[..] * w[..];                     y[..] = max(C[..] + b[..], 0)
after:   P16[..] = pad(x16[..]); C[..] += widen(P16[..]) * widen(w16[..]);   y16[..] = round(max(C[..] + b[..], 0))

Parameters are stored as asked. What a product of matrices reads is stored as bfloat16 too, so that the hardware's dot
products apply; every other tensor inside the function, and all arithmetic, stays float32: sums, means and exponentials
lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import tvm_ffi
from tvm import te, tirx
from tvm.ir import TensorLoad, TensorRegion
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.attention_facts import read_attention
from flextune.analysis.blocks import read_program
from flextune.analysis.moves import is_transpose
from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, Iterator, ProgramFacts
from flextune.lowering.precision.bfloat16 import rounded, widened
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, BufferStore, Expression, PrimFunc, Statement
from flextune.workload.rounding import STORAGE

_THIN_RESULTS = 16
"""Channels of a bottleneck in which rounding stands out: what follows knows all before by so few sums."""
_THIN_SHARE = 10
"""A bottleneck stays float32 with a tenth of the constants that a single row may have: it is used in many places."""
LEAST_GROUP = 16
"""Channels of a group of a convolution whose products are taken from bfloat16: fewer do not fill the lanes."""


@dataclass(frozen=True, slots=True, eq=False)
class Narrowed:
    """The rewritten function. It takes the constants at the positions `weights` as bfloat16.

    `products` counts the products of matrices that are now taken from bfloat16.
    """

    function: PrimFunc
    weights: frozenset[int]
    products: int


def narrow_function(
    function: PrimFunc,
    stored: Collection[int],
    constants: Collection[int],
    *,
    products: bool = True,
    light_bytes: int = 0,
) -> Narrowed | None:
    """Rewrite `function` as the module text shows; None if it is not of the plain form.

    `stored` are the positions of parameters that hold bfloat16, `constants` those known at compile time. Without
    `products` all arithmetic stays float32, as it does where they are light: with constants of at most `light_bytes`
    where they are of a single row, a tenth of that where they have few results at every place.
    """
    program = plain_program(function)
    if program is None or any(str(function.params[i].ty.dtype) != "float32" for i in stored):
        return None
    takes = products and not _is_half_narrow_attention(function, program)
    takes = takes and not _is_light(program, {function.params[i] for i in constants}, light_bytes)
    return _Narrower(function, program, frozenset(stored), frozenset(constants), takes).run()


def _is_half_narrow_attention(function: PrimFunc, program: ProgramFacts) -> bool:
    """Whether one product alone of an attention can be taken from bfloat16 (one column), which no kernel does."""
    return sum(bool(product_factors(block)) for block in program.blocks) == 1 and read_attention(function) is not None


def _is_light(program: ProgramFacts, constants: Collection[Buffer], light_bytes: int) -> bool:
    """Whether all its products are light; see `narrow_function`."""
    found = [(block, loads[1].source) for block in program.blocks if (loads := product_factors(block))]
    return bool(found) and all(
        weight in constants and math.prod(map(int, weight.ty.shape)) * 4 <= _most_bytes(block, light_bytes)
        for block, weight in found
    )


def _most_bytes(facts: BlockFacts, light_bytes: int) -> int:
    """Of constants with which a product is light."""
    if _is_single_row(facts):
        return light_bytes
    _, weight = facts.factors
    results = math.prod(it.extent for it in facts.spatial if it.name in weight.iterators)
    return light_bytes // _THIN_SHARE if results <= _THIN_RESULTS else 0


def _is_single_row(facts: BlockFacts) -> bool:
    """Whether every result of a product of matrices has weights of its own."""
    _, weight = facts.factors
    return all(it.extent == 1 or it.name in weight.iterators for it in facts.spatial)


def plain_program(function: PrimFunc) -> ProgramFacts | None:
    """The facts of a function that can be rewritten: loop nests that each compute one tensor."""
    program = read_program(function)
    if program is None or any(block.kind is BlockKind.OPAQUE for block in program.blocks):
        return None
    return program


def product_factors(facts: BlockFacts) -> tuple[BufferLoad, ...]:
    """The two loads of a float32 product of matrices whose left one is contiguous along the sum; () for other blocks.

    A depthwise convolution is none: nothing that it reads is used by several of its results. Groups of channels are, if
    they are at least `LEAST_GROUP` wide.
    """
    if facts.kind is not BlockKind.CONTRACTION or facts.output.dtype != "float32":
        return ()
    value = facts.block.body.value
    term = value.b if isinstance(value.b, tirx.Mul) else value.a
    loads = (term.a, term.b)
    if not all(isinstance(load, TensorLoad) and str(load.ty.dtype) == "float32" for load in loads):
        return ()
    data, weight = facts.factors
    shared = any(
        it.name in weight.iterators and _share(data, it) >= min(LEAST_GROUP, it.extent) for it in facts.spatial
    )
    dot = any(it.extent > 1 and data.stride_of(it.name) == 1 and it.name in weight.iterators for it in facts.reduce)
    return loads if shared and dot else ()


def _share(data: Access, axis: Iterator) -> int:
    """How many neighbours along an axis, at most all of it, read the same data; 0 where there is but one."""
    if axis.extent < 2:
        return 0
    return axis.extent if axis.name not in data.iterators else data.uniform_within(axis.name) or 1


@dataclass(frozen=True, slots=True, eq=False)
class _Forms:
    """The float32 and the bfloat16 buffer of one tensor; at least one of them."""

    wide: Buffer | None
    narrow: Buffer | None


class _Narrower:
    def __init__(
        self,
        function: PrimFunc,
        program: ProgramFacts,
        stored: frozenset[int],
        constants: frozenset[int],
        products: bool,
    ) -> None:
        self.function, self.program, self.stored, self.constants = function, program, stored, constants
        # Per block that is a product of matrices: the buffers it takes in bfloat16
        found = {block.name: product_factors(block) for block in program.blocks} if products else {}
        self.factors = {name: {load.source for load in loads} for name, loads in found.items() if loads}
        self.products = len(self.factors)
        self.writers: dict[Buffer, list[BlockFacts]] = {}
        for block in program.blocks:
            self.writers.setdefault(block.block.body.buffer, []).append(block)
        self._round_before_transposes()
        # A factor needs a bfloat16 buffer, and a float32 one besides if it is read elsewhere or sums grow in it
        self.needed: set[Buffer] = set().union(*self.factors.values())
        self.read_wide = self._read_wide()
        self.forms: dict[Buffer, _Forms] = {}

    def run(self) -> Narrowed:
        root = self.function.body.block
        statements = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
        allocated: list[Buffer] = []
        params = [self._parameter(position, param, allocated) for position, param in enumerate(self.function.params)]
        for buffer in root.alloc_buffers:  # a tensor that is summed up and then a factor has both forms
            self.forms[buffer] = self._internal(buffer)
            allocated += [form for form in (self.forms[buffer].wide, self.forms[buffer].narrow) if form is not None]
        body = [  # inputs that nobody writes are rounded at the start, all others right behind their last writer
            _copy(forms) for buffer, forms in self.forms.items() if buffer not in self.writers and _is_double(forms)
        ]
        for facts, statement in zip(self.program.blocks, statements, strict=True):
            body.append(self._rewrite(facts, statement))
            buffer = facts.block.body.buffer
            if _is_double(self.forms[buffer]) and self.writers[buffer][-1] is facts:
                body.append(_copy(self.forms[buffer]))
        result = body[0] if len(body) == 1 else tirx.SeqStmt(body)
        block = SBlock([], [], [], root.name_hint, result, alloc_buffers=allocated, annotations=root.annotations)
        function = tirx.PrimFunc(
            params, SBlockRealize([], True, block), self.function.ret_type, attrs=self.function.attrs
        )
        weights = frozenset(i for i in self.constants - self.stored if str(params[i].ty.dtype) == STORAGE)
        return Narrowed(function, weights, self.products)

    def _round_before_transposes(self) -> None:
        """A factor that is a transpose moves what is rounded already: rounding goes by vectors, transposes do not.

        What others read too, inside the function, is left in float32 for them.
        """
        for block in reversed(self.program.blocks):
            factors = set().union(*self.factors.values())
            if not is_transpose(block) or block.block.body.buffer not in factors:
                continue
            producers = self.program.producers(block)
            if all(len(self.program.consumers(producer)) == 1 for producer in producers):
                self.factors[block.name] = {block.block.body.value.source}

    def _read_wide(self) -> set[Buffer]:
        """The buffers that are read elsewhere than as a factor."""
        found = set()
        for block in self.program.blocks:
            loads: list[BufferLoad] = []
            tvm_ffi.structural_walk(block.block.body.value, (TensorLoad, loads.append))
            found |= {load.source for load in loads} - self.factors.get(block.name, set())
        return found

    def _parameter(self, position: int, param: Buffer, allocated: list[Buffer]) -> Buffer:
        """The new parameter; a second buffer for the same tensor is added to `allocated`."""
        if position in self.stored:  # bfloat16 outside; inside a float32 buffer too where sums are accumulated in it
            narrow = _narrow_like(param, str(param.name))
            wide = _wide_like(param) if not self._stores_rounded(param) else None
            self.forms[param] = _Forms(wide, narrow)
            allocated += [wide] if wide is not None else []
            return narrow
        if position in self.constants and param in self.needed and param not in self.read_wide:  # rounded by the caller
            narrow = _narrow_like(param, str(param.name))
            self.forms[param] = _Forms(None, narrow)
            return narrow
        second = _narrow_like(param, f"{param.name}_bfloat16") if param in self.needed else None
        self.forms[param] = _Forms(param, second)
        allocated += [second] if second is not None else []
        return param

    def _internal(self, buffer: Buffer) -> _Forms:
        """Float32 but for factors: they are rounded as they are written or, where they are sums, once final."""
        if buffer not in self.needed:
            return _Forms(buffer, None)
        if self._stores_rounded(buffer):
            return _Forms(None, _narrow_like(buffer, str(buffer.name)))
        return _Forms(buffer, _narrow_like(buffer, f"{buffer.name}_bfloat16"))

    def _stores_rounded(self, buffer: Buffer) -> bool:
        """Whether every write of a tensor is final: no sum is accumulated in it (an input has no writes)."""
        return all(block.kind is BlockKind.ELEMENTWISE for block in self.writers.get(buffer, []))

    def _rewrite(self, facts: BlockFacts, statement: Statement) -> Statement:
        """The block with loads of bfloat16 widened and stores to it rounded; the arithmetic between stays float32."""
        factors = self.factors.get(facts.name, set())

        def buffer_of(source: Buffer) -> tuple[Buffer, bool] | None:
            """The buffer to use for `source` in this block, and whether it is the bfloat16 one."""
            forms = self.forms.get(source)
            if forms is None:
                return None
            if forms.narrow is not None and (forms.wide is None or source in factors):
                return forms.narrow, True
            return forms.wide, False

        def load(node: BufferLoad) -> Expression:
            chosen = buffer_of(node.source)
            if chosen is None or chosen[0].same_as(node.source):
                return node
            element = tirx.BufferLoad(chosen[0], list(node.indices))
            return widened(element) if chosen[1] else element

        def region(node: BufferRegion) -> BufferRegion:
            chosen = buffer_of(node.source)
            return node if chosen is None else tirx.BufferRegion(chosen[0], list(node.region))

        def store(node: BufferStore) -> BufferStore:
            chosen = buffer_of(node.buffer)
            if chosen is None or chosen[0].same_as(node.buffer):
                return node
            value = rounded(node.value) if chosen[1] else node.value
            return tirx.BufferStore(chosen[0], value, list(node.indices))

        return tvm_ffi.structural_map(
            statement, [(TensorLoad, load), (TensorRegion, region), (tirx.BufferStore, store)]
        )


def _is_double(forms: _Forms) -> bool:
    return forms.wide is not None and forms.narrow is not None


def _copy(forms: _Forms) -> Statement:
    """The nest that rounds the float32 buffer of a tensor into its bfloat16 one."""
    assert forms.wide is not None
    assert forms.narrow is not None
    source = te.placeholder(forms.wide.ty.shape, "float32", name="source")
    result = te.compute(source.shape, lambda *index: rounded(source(*index)), name=f"{forms.narrow.name}_round")
    function = te.create_prim_func([source, result])
    renamed = dict(zip(function.params, (forms.wide, forms.narrow), strict=True))
    return tvm_ffi.structural_map(function.body.block.body, (tirx.Var, lambda var: renamed.get(var, var)))


def _narrow_like(buffer: Buffer, name: str) -> Buffer:
    return tirx.decl_buffer(buffer.ty.shape, STORAGE, name)


def _wide_like(buffer: Buffer) -> Buffer:
    return tirx.decl_buffer(buffer.ty.shape, "float32", f"{buffer.name}_wide")
