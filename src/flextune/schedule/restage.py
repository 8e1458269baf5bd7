"""Rewrite a contraction so that register tiles, tails and packed operands become plain schedule primitives.

before:  C[i, j] += A[i, k] * B[k, j];   D[i, j] = f(C[i, j])
after:   P[jo, k, ji] = B[k, jo*T + ji]              (zero beyond the extent of j; only when packed)
         L[i', j'] += A[min(i', I-1), k] * P[j'//T, k, j'%T]    with i', j' padded to multiples of the tile
         D[i, j] = f(L[i, j])                        (only true elements are ever written)

The padded elements of L are computed and dropped, so no guard stays inside the reduction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad, TensorRegion
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import iterator_name, read_program
from flextune.analysis.moves import is_transpose
from flextune.analysis.program_facts import Access, BlockFacts, ProgramFacts
from flextune.analysis.symbols import is_symbolic
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, counted, element_region, round_up, same_size
from flextune.schedule.packing import PackedAxes, PackedInput
from flextune.schedule.restage_check import check_restage
from flextune.schedule.stage_names import data_block_name, pack_block_name, store_block_name
from flextune.schedule.zero_fill import ZeroFilled, zero_filled
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, Expression, PrimFunc, Statement, TirTree, Variable


@dataclass(frozen=True, slots=True)
class Restaged:
    """The rewritten function and, when a constant operand was packed, how to pack it."""

    function: PrimFunc
    packed: PackedInput | None


def restage(
    function: PrimFunc,
    block: str,
    tiles: Mapping[str, int],
    vector: str,
    pack: PackedAxes | None,
    constants: tuple[int, ...],
    fuse: bool,
) -> Restaged:
    """Rewrite contraction `block` of `function` as the module text shows.

    `tiles` gives the register tile of spatial iterators (extents are padded to multiples of it). The result is
    accumulated in scope local with `vector` as its last dimension. A reduce iterator that a packed operand splits by
    groups is padded with zeros to whole groups; so is the other operand, in the stage that computes it or in a copy.
    A packed operand that is one of the parameters `constants` is replaced by its packed form. With `fuse` false a block
    that stores the result is added even if there is a consumer. `ScheduleError` if the function is not of plain form.
    """
    program = read_program(function)
    if program is None or all(b.name != block for b in program.blocks):
        raise ScheduleError(f"cannot restage block {block!r}: the function has no such plain block")
    facts = program.block(block)
    check_restage(facts, tiles, vector, pack)
    return _Restager(function, program, facts, tiles, vector, pack, constants, fuse).run()


class _Restager:
    def __init__(
        self,
        function: PrimFunc,
        program: ProgramFacts,
        facts: BlockFacts,
        tiles: Mapping[str, int],
        vector: str,
        pack: PackedAxes | None,
        constants: tuple[int, ...],
        fuse: bool,
    ) -> None:
        self.function, self.program, self.facts = function, program, facts
        self.tiles, self.vector, self.pack, self.constants, self.fuse = tiles, vector, pack, constants, fuse
        self.old = {it.var: iterator_name(it.var) for it in facts.block.iter_vars}
        self.extents: Mapping[str, Expression] = {it.name: it.size for it in facts.iterators}
        # Extents are padded to whole register tiles, and the reduction to whole groups where the packing has some
        multiples = {**tiles, pack.outer[-1]: pack.group} if pack is not None and pack.group > 1 else tiles
        self.padded = {name: round_up(extent, multiples.get(name, 1)) for name, extent in self.extents.items()}
        self.grown = frozenset(
            name for name, extent in self.extents.items() if not same_size(self.padded[name], extent)
        )
        # The accumulator L: an element per padded result, vector last, so that a tile is rows of vector registers
        spatial = [it.name for it in facts.spatial if it.name != vector]
        self.order = [*spatial, vector]
        self.source = facts.block.body.buffer
        self.local = tirx.decl_buffer(
            tuple(counted(self.padded[name], program.index) for name in self.order),
            str(self.source.ty.dtype),
            f"{facts.name}_local",
            scope="local",
        )
        self.data = self._data_stage()

    def run(self) -> Restaged:
        root = self.function.body.block
        statements = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
        allocated = list(root.alloc_buffers)
        extended = self._extensible_producers()
        body: list[Statement] = []
        added: list[Buffer] = [self.local]
        params = list(self.function.params)
        packed_input, packed_buffer, pack_nest = self._pack_operand() if self.pack is not None else (None, None, None)
        # A constant is packed once, before the first run; any other operand by a nest of this function, in each run
        if packed_input is not None:
            params[packed_input.index] = packed_buffer
        elif pack_nest is not None:
            added.append(packed_buffer)
        fused = self.fuse and bool(self.program.consumers(self.facts))
        replaced = {}  # buffers that were extended: old -> new
        for facts, statement in zip(self.program.blocks, statements, strict=True):
            if facts.name in extended:  # a producer computes the padded domain, so that reading it needs no clamp
                statement, old, new = self._extend(facts, extended[facts.name])
                replaced[old] = new
                body.append(statement)
            elif facts.name == self.facts.name:
                body += [pack_nest] if pack_nest is not None else []
                if self.data is not None:
                    added.append(self.data.buffer)
                    body.append(self.data.statement)
                body.append(self._accumulate(packed_buffer))
                if not fused:  # no consumer that could write the result: L is copied to where it belongs
                    body.append(self._store())
            else:
                body.append(self._redirect(statement) if fused else statement)
        result = tirx.SeqStmt(body)
        if replaced:
            result = tvm_ffi.structural_map(result, (tirx.Var, lambda var: replaced.get(var, var)))
        keep = [replaced.get(b, b) for b in allocated if not (fused and b.same_as(self.source))]
        block = SBlock([], [], [], root.name_hint, result, alloc_buffers=[*keep, *added], annotations=root.annotations)
        function = tirx.PrimFunc(
            params, SBlockRealize([], True, block), self.function.ret_type, attrs=self.function.attrs
        )
        return Restaged(function, packed_input)

    def _accumulate(self, packed_buffer: Buffer) -> Statement:
        """The contraction over the padded domain, into L, reading what was packed, copied or extended for it."""
        nest = LoopNest(
            [(name, self.padded[name]) for name in self.order],
            [(it.name, self.padded[it.name]) for it in self.facts.reduce],
            self.program.index,
        )
        target = [nest.vars[name] for name in self.order]
        block = self.facts.block
        regions: list[tuple[Buffer, list[Expression]]] = []
        no_clamp, pack = self._unclamped(), self.pack

        def load(node: BufferLoad) -> BufferLoad:
            if node.source.same_as(self.source):
                return tirx.BufferLoad(self.local, target)
            if pack is not None and self._is_packed(node):
                indices = pack.indices(nest.vars)
                regions.append((packed_buffer, indices))
                return tirx.BufferLoad(packed_buffer, indices)
            # What has only true elements is read at the last one of them for padded results, which nobody reads
            staged = self.data is not None and node.source.same_as(self.data.source)
            clamp = node.source not in no_clamp and not staged
            indices = [self._substitute(index, nest.vars, clamp) for index in node.indices]
            source = self.data.buffer if self.data is not None and staged else node.source
            regions.append((source, indices))
            return tirx.BufferLoad(source, indices)

        value = tvm_ffi.structural_map(block.body.value, (TensorLoad, load))
        value = self._substitute(value, nest.vars, clamp=False)
        init = self._substitute(block.init.value, nest.vars, clamp=False)
        return nest.wrap(
            self.facts.name,
            tirx.BufferStore(self.local, value, target),
            reads=[element_region(buffer, indices) for buffer, indices in regions],
            writes=[element_region(self.local, target)],
            init=tirx.BufferStore(self.local, init, target),
            annotations=block.annotations,
        )

    def _store(self) -> Statement:
        """The nest that copies the true elements of L to the result."""
        spatial = [it.name for it in self.facts.spatial]
        nest = LoopNest([(name, self.extents[name]) for name in spatial], [], self.program.index)
        source = [nest.vars[name] for name in self.order]
        indices = [self._substitute(index, nest.vars, clamp=False) for index in self.facts.block.body.indices]
        store = tirx.BufferStore(self.source, tirx.BufferLoad(self.local, source), indices)
        name = store_block_name(self.facts.name)
        return nest.wrap(name, store, [element_region(self.local, source)], [element_region(self.source, indices)])

    def _redirect(self, statement: Statement) -> Statement:
        """Consumers read the local accumulator, whose dimensions are ordered with the vector last."""
        dims = self._dimension_of_iterator()

        def permute(items: Sequence[TirTree]) -> list[TirTree]:
            return [items[dims[name]] if dims[name] is not None else 0 for name in self.order]

        def load(node: BufferLoad) -> BufferLoad:
            if node.source.same_as(self.source):
                return tirx.BufferLoad(self.local, permute(list(node.indices)))
            return node

        def region(node: BufferRegion) -> BufferRegion:
            if node.source.same_as(self.source):
                return tirx.BufferRegion(self.local, permute(list(node.region)))
            return node

        return tvm_ffi.structural_map(statement, [(TensorLoad, load), (TensorRegion, region)])

    def _dimension_of_iterator(self) -> dict[str, int]:
        axes = self.facts.writes[0].plain_axes()
        if axes is None or set(filter(None, axes)) != set(self.order):
            raise ScheduleError(f"block {self.facts.name!r} does not write each element at its own iterators")
        return {name: axes.index(name) for name in self.order}

    def _operand_buffer(self) -> Buffer:
        assert self.pack is not None
        access = self.facts.operands[self.pack.operand]
        return next(r.source for r in self.facts.block.reads if str(r.source.name) == access.buffer.name)

    def _is_packed(self, load: BufferLoad) -> bool:
        """Whether a load is that of the packed operand; the other one may read the same buffer, at other indices."""
        assert self.pack is not None
        if not load.source.same_as(self._operand_buffer()):
            return False
        uses = self.facts.operands[self.pack.operand].uses
        return all(self._iterators(index) == names for index, names in zip(load.indices, uses, strict=True))

    def _iterators(self, index: Expression) -> frozenset[str]:
        found: list[Variable] = []
        tvm_ffi.structural_walk(index, (tirx.Var, found.append))
        return frozenset(self.old[variable] for variable in found if variable in self.old)

    def _operand_indices(self) -> Sequence[Expression]:
        found: list[BufferLoad] = []
        tvm_ffi.structural_walk(self.facts.block.body.value, (TensorLoad, found.append))
        indices: Sequence[Expression] = next(load.indices for load in found if self._is_packed(load))
        return indices

    def _pack_operand(self) -> tuple[PackedInput | None, Buffer, Statement | None]:
        """The constant's packing or None, the packed buffer, and the nest that packs (None for a constant)."""
        pack = self.pack
        assert pack is not None
        source = self._operand_buffer()
        access = self.facts.operands[pack.operand]
        if access.separate_axes(self.facts.extents) != frozenset(pack.outer):
            raise ScheduleError(
                f"operand {access.buffer.name!r} of {self.facts.name!r} is not indexed by plain iterators alone"
            )
        shape, axes = pack.shape(self.padded), access.plain_axes()
        sizes = [counted(extent, self.program.index) for extent in shape]
        buffer = tirx.decl_buffer(sizes, access.buffer.dtype, f"{access.buffer.name}_packed")
        if access.buffer.parameter in self.constants and axes is not None:
            if any(map(is_symbolic, shape)):
                raise ScheduleError(f"{access.buffer.name!r} is packed before the sizes of the program are known")
            return self._packed_input(access, axes, shape), buffer, None
        # The nest runs over the packed buffer; `value` is each iterator of the contraction, put together from its parts
        names = [f"p{i}" for i in range(len(shape))]
        nest = LoopNest(list(zip(names, shape, strict=True)), [], self.program.index)
        dims = [nest.vars[n] for n in names]
        value = {n: dims[i] for i, n in enumerate(pack.outer)}
        tail = dims[len(pack.outer) :]
        last = pack.outer[-1]
        if pack.group > 1:
            value[last] = value[last] * pack.group + tail[1]
        value[pack.vector] = value[pack.vector] * pack.tile + tail[0]
        indices = [self._substitute(index, value, clamp=False) for index in self._operand_indices()]
        load = tirx.BufferLoad(source, indices)
        # Zero beyond the true extents, so that filling up the reduction changes no sum
        guards = [value[n] < self.extents[n] for n in pack.outer if n in self.grown]
        if guards:
            load = tirx.if_then_else(tirx.all(*guards), load, tirx.const(0, access.buffer.dtype))
        reads = [element_region(source, indices)]
        statement = nest.wrap(
            pack_block_name(self.facts.name),
            tirx.BufferStore(buffer, load, dims),
            reads,
            [element_region(buffer, dims)],
        )
        return None, buffer, statement

    def _packed_input(self, access: Access, axes: Sequence[str | None], shape: list[int]) -> PackedInput:
        """The same packing as pad, reshape and transpose of the array.

        Padding and reshaping split axis i in two: 2i counts tiles, 2i + 1 the elements of one. The permutation orders
        these: constant axes, `outer`, the rest (all of length 1), and innermost the tile of the vector and the group.
        """
        pack = self.pack
        assert pack is not None
        assert access.buffer.parameter is not None
        tiles = tuple((pack.tile if a == pack.vector else 1) * (pack.group if a == pack.outer[-1] else 1) for a in axes)
        padding = tuple(0 if a is None else self.padded[a] - self.extents[a] for a in axes)
        constant_axes = [2 * i for i, a in enumerate(axes) if a is None]
        outer = [2 * axes.index(n) for n in pack.outer]
        inner = [2 * axes.index(pack.vector) + 1]
        if pack.group > 1:
            inner.append(2 * axes.index(pack.outer[-1]) + 1)
        used = {*constant_axes, *outer, *inner}
        rest = [i for i in range(2 * len(axes)) if i not in used]
        return PackedInput(
            access.buffer.parameter,
            tuple(shape),
            access.buffer.dtype,
            (*constant_axes, *outer, *rest, *inner),
            padding,
            tiles,
        )

    def _data_stage(self) -> ZeroFilled | None:
        """A copy of the data with zeros up to whole groups, where they are not whole and no stage can be extended."""
        if self.pack is None or all(it.name not in self.grown for it in self.facts.reduce):
            return None
        access = self.facts.operands[1 - self.pack.operand]
        if any(self.program.block(name).output == access.buffer for name in self._extensible_producers()):
            return None
        needed = self._needed_extents(access)
        if needed is None:
            raise ScheduleError(f"block {self.facts.name!r}: {access.buffer.name!r} cannot be padded to whole groups")
        source = next(r.source for r in self.facts.block.reads if str(r.source.name) == access.buffer.name)
        return zero_filled(source, needed, data_block_name(self.facts.name), self.program.index)

    def _extensible_producers(self) -> dict[str, dict[int, Expression]]:
        """Producers of the unpacked operand that can be computed on the padded domain: name -> new extents.

        A transpose is none: it is inlined later, and a guard around its load would hide the load from intrinsics.
        """
        found: dict[str, dict[int, Expression]] = {}
        for operand, access in enumerate(self.facts.operands):
            if self.pack is not None and operand == self.pack.operand:
                continue
            producer = next((p for p in self.program.producers(self.facts) if p.output == access.buffer), None)
            if producer is None or len(self.program.consumers(producer)) != 1 or access.buffer.parameter is not None:
                continue
            if producer.reduce or is_transpose(producer):
                continue
            if (axes := producer.writes[0].plain_axes()) and None not in axes:
                needed = self._needed_extents(access)
                if needed is not None:
                    found[producer.name] = needed
        return found

    def _needed_extents(self, access: Access) -> dict[int, Expression] | None:
        """The dimensions that the padded domain reads beyond their extents, with what they need; None if not linear.

        An index 2i + k reads up to 2 * (growth of i) + (growth of k) further.
        """
        needed: dict[int, Expression] = {}
        for dim, (terms, uses) in enumerate(zip(access.terms, access.uses, strict=True)):
            if self.grown.isdisjoint(uses):
                continue
            if terms is None or any(term.coefficient < 0 or term.divisor != 1 for term in terms):
                return None
            growth = sum(
                term.coefficient * (self.padded[term.iterator] - self.extents[term.iterator]) for term in terms
            )
            needed[dim] = access.buffer.sizes[dim] + growth
        return needed

    def _unclamped(self) -> set[Buffer]:
        names = {self.program.block(name).output.name for name in self._extensible_producers()}
        return {r.source for r in self.facts.block.reads if str(r.source.name) in names}

    def _extend(self, facts: BlockFacts, needed: Mapping[int, Expression]) -> tuple[Statement, Buffer, Buffer]:
        """The producer's nest over the larger domain; elements beyond the original domain are zero and never used."""
        old = facts.block.body.buffer
        axes = facts.writes[0].plain_axes()
        assert axes is not None
        grown = {axes[dim]: extent for dim, extent in needed.items()}
        sizes = {it.name: it.size for it in facts.iterators}
        extents = [(name, grown.get(name, size)) for name, size in sizes.items()]
        nest = LoopNest(extents, [], self.program.index)
        shape = tuple(counted(needed.get(d, e), self.program.index) for d, e in enumerate(facts.output.sizes))
        new = tirx.decl_buffer(shape, facts.output.dtype, facts.output.name)
        mapping = {it.var: nest.vars[iterator_name(it.var)] for it in facts.block.iter_vars}

        def swap(tree: TirTree) -> TirTree:
            return tvm_ffi.structural_map(tree, (tirx.Var, lambda var: mapping.get(var, var)))

        value = swap(facts.block.body.value)
        guards = [nest.vars[n] < sizes[n] for n, e in grown.items() if n is not None and not same_size(e, sizes[n])]
        if guards:
            value = tirx.if_then_else(tirx.all(*guards), value, tirx.const(0, facts.output.dtype))
        indices = [swap(index) for index in facts.block.body.indices]
        reads = [
            tirx.BufferRegion(r.source, [Range.from_min_extent(swap(x.min), x.extent) for x in r.region])
            for r in facts.block.reads
        ]
        statement = nest.wrap(facts.name, tirx.BufferStore(new, value, indices), reads, [element_region(new, indices)])
        return statement, old, new

    def _substitute(self, tree: TirTree, variables: Mapping[str, Expression], clamp: bool) -> TirTree:
        def swap(var: Variable) -> Expression:
            name = self.old.get(var)
            if name is None:
                return var
            if clamp and name in self.grown:
                return tirx.min(variables[name], self.extents[name] - 1)
            return variables[name]

        return tvm_ffi.structural_map(tree, (tirx.Var, swap))
