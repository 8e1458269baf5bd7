"""Write a short sum out, so that the block that computes it is element-wise.

before:  S[i] = sum over k < 3 of A[i + k] * B[k]
after:   S[i] = A[i] * B[0] + A[i + 1] * B[1] + A[i + 2] * B[2]

What follows can take the expression in, it can be computed wherever it is needed as any element-wise block can, and
LLVM sees which loads neighbours share.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, BlockKind
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.tvm_types import Block, BufferLoad, BufferRegion, Expression, PrimFunc, Statement, TirTree

MOST_TERMS = 49
"""Of a sum that is written out: beyond it code grows and nothing is shared."""


def is_short_sum(facts: BlockFacts) -> bool:
    """Whether `write_out` takes the block: a sum of products of at most `MOST_TERMS` terms that starts at zero."""
    terms = facts.trips // max(1, _spatial_trips(facts))
    return facts.kind is BlockKind.CONTRACTION and 1 <= terms <= MOST_TERMS and _starts_at_zero(facts.block)


def write_out(function: PrimFunc, block: str) -> PrimFunc:
    """`function` with the sum `block` as the module text shows. Raises `ScheduleError` where it is no short sum."""
    program = read_program(function)
    facts = next((b for b in program.blocks if b.name == block), None) if program is not None else None
    if program is None or facts is None or not is_short_sum(facts):
        raise ScheduleError(f"cannot write block {block!r} out: no such sum of at most {MOST_TERMS} products")
    root = function.body.block
    statements = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    statements[program.blocks.index(facts)] = _written(facts)
    body = tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]
    written = SBlock([], [], [], root.name_hint, body, alloc_buffers=root.alloc_buffers, annotations=root.annotations)
    return tirx.PrimFunc(
        list(function.params), SBlockRealize([], True, written), function.ret_type, attrs=function.attrs
    )


def _spatial_trips(facts: BlockFacts) -> int:
    trips = 1
    for it in facts.spatial:
        trips *= it.extent
    return trips


def _starts_at_zero(block: Block) -> bool:
    value = block.init.value
    return isinstance(value, tirx.FloatImm | tirx.IntImm) and value.value == 0


def _written(facts: BlockFacts) -> Statement:
    """The nest over the spatial iterators alone."""
    store, nest = facts.block.body, LoopNest([(it.name, it.extent) for it in facts.spatial], [])
    variables = {old.var: it.name for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)}
    analyzer = tvm.sym.Analyzer()
    for it in facts.spatial:
        analyzer.bind(nest.vars[it.name], Range(0, it.extent))
    own, term = store.value.a, store.value.b
    if not (isinstance(own, TensorLoad) and own.source.same_as(store.buffer)):
        term = own
    reads: list[BufferRegion] = []

    def placed(tree: TirTree, places: Mapping[str, Expression]) -> TirTree:
        return tvm_ffi.structural_map(tree, (tirx.Var, lambda var: places.get(variables.get(var, ""), var)))

    def at(steps: tuple[int, ...]) -> Expression:
        names = (it.name for it in facts.reduce)
        places = {**nest.vars, **{n: tirx.const(s, "int32") for n, s in zip(names, steps, strict=True)}}

        def load(node: BufferLoad) -> BufferLoad:
            indices = [analyzer.simplify(placed(index, places)) for index in node.indices]
            reads.append(element_region(node.source, indices))
            return tirx.BufferLoad(node.source, indices)

        return placed(tvm_ffi.structural_map(term, (TensorLoad, load)), places)

    value = None
    for steps in itertools.product(*(range(it.extent) for it in facts.reduce)):
        value = at(steps) if value is None else value + at(steps)
    target = [placed(index, nest.vars) for index in store.indices]
    return nest.wrap(
        facts.name,
        tirx.BufferStore(store.buffer, value, target),
        reads,
        [element_region(store.buffer, target)],
        annotations=facts.block.annotations,
    )
