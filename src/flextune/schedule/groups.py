"""Rewrite a contraction in groups so that the groups are a loop of their own, and what is inside one has its own index.

before:  C[i, j] += A[i, j // 34 * 17 + k] * B[k, j];            D[i, j] = f(C[i, j])
after:   C[i, g, c] += A[i, g * 17 + k] * B[k, g * 34 + c];      D[i, g * 34 + c] = f(C[i, g, c])

Then `c` moves through one operand alone, so it can be padded, packed and vectorised as if there were no groups. What
follows element by element is computed over (g, c) too; a constant operand is seen as B[k, g, c].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, ProgramFacts
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, counted, element_region
from flextune.schedule.packing import PackedInput
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, Expression, PrimFunc, Statement, TirTree


@dataclass(frozen=True, slots=True)
class SplitFunction:
    """The rewritten function and the constant parameters that it sees in another shape."""

    function: PrimFunc
    viewed: tuple[PackedInput, ...]


def group_axis(axis: str) -> str:
    """The iterator over the groups along `axis`; `axis` itself is left for what is inside a group."""
    return f"{axis}_group"


def joined_block_name(buffer: str) -> str:
    """Name of the block that copies a split buffer back for what reads it otherwise."""
    return f"{buffer}_joined"


def split_groups(function: PrimFunc, block: str, axis: str, size: int, constants: Sequence[int]) -> SplitFunction:
    """Rewrite `block` as the module text shows: `size` neighbours along spatial iterator `axis` are a group.

    Raises `ScheduleError` if the function is not of the plain form or the axis does not consist of such groups.
    """
    program = read_program(function)
    facts = next((b for b in program.blocks if b.name == block), None) if program is not None else None
    if program is None or facts is None:
        raise ScheduleError(f"cannot split groups of block {block!r}: the function has no such plain block")
    written = facts.writes[0].plain_axes() or ()
    if axis not in written or size < 1 or facts.extent(axis) % size or _is_symbolic(facts, axis):
        raise ScheduleError(f"cannot split block {block!r}: {axis!r} is no axis of groups of {size}")
    return _Splitter(function, program, facts, axis, size, tuple(constants)).run()


def _is_symbolic(facts: BlockFacts, axis: str) -> bool:
    return any(it.name == axis and it.symbol is not None for it in facts.iterators)


class _Splitter:
    def __init__(
        self,
        function: PrimFunc,
        program: ProgramFacts,
        facts: BlockFacts,
        axis: str,
        size: int,
        constants: tuple[int, ...],
    ) -> None:
        self.function, self.program, self.facts, self.axis, self.size = function, program, facts, axis, size
        self.constants = constants
        self.split: dict[Buffer, tuple[Buffer, int]] = {}  # buffer -> its split form and the dimension that was split
        self.views: dict[Buffer, tuple[Buffer, int]] = {}
        self.joined: set[Buffer] = set()

    def run(self) -> SplitFunction:
        root = self.function.body.block
        statements = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
        self._view_constant()
        body: list[Statement] = []
        for facts, statement in zip(self.program.blocks, statements, strict=True):
            axis = self.axis if facts.name == self.facts.name else self._axis_of_consumer(facts)
            if axis is not None:
                body.append(self._rewritten(facts, axis))
            else:
                body += self._joins(facts)
                body.append(statement)
        body += self._joins(None)
        added = [new for old, (new, _) in self.split.items()]
        kept = [b for b in root.alloc_buffers if b not in self.split or b in self.joined]
        result = tirx.SeqStmt(body) if len(body) > 1 else body[0]
        block = SBlock([], [], [], root.name_hint, result, alloc_buffers=[*kept, *added], annotations=root.annotations)
        parameters = [self.views[p][0] if p in self.views else p for p in self.function.params]
        function = tirx.PrimFunc(
            parameters, SBlockRealize([], True, block), self.function.ret_type, attrs=self.function.attrs
        )
        viewed = tuple(
            PackedInput.viewed(index, tuple(int(extent) for extent in self.views[p][0].ty.shape), str(p.ty.dtype))
            for index, p in enumerate(self.function.params)
            if p in self.views
        )
        return SplitFunction(function, viewed)

    def _view_constant(self) -> None:
        """Constant operands that `axis` is a dimension of are seen with that dimension split."""
        for access in self.facts.operands:
            axes, position = access.plain_axes(), access.buffer.parameter
            if axes is None or self.axis not in axes or position not in self.constants or position is None:
                continue
            parameter = self.function.params[position]
            readers = [b for b in self.program.blocks if any(r.buffer == access.buffer for r in b.reads)]
            if len(readers) == 1:
                self.views[parameter] = (self._split_buffer(parameter, axes.index(self.axis)), axes.index(self.axis))

    def _split_buffer(self, buffer: Buffer, dimension: int) -> Buffer:
        shape = list(buffer.ty.shape)
        shape[dimension : dimension + 1] = [int(shape[dimension]) // self.size, self.size]
        sizes = [counted(extent, self.program.index) for extent in shape]
        return tirx.decl_buffer(sizes, str(buffer.ty.dtype), str(buffer.name))

    def _axis_of_consumer(self, facts: BlockFacts) -> str | None:
        """The iterator of an element-wise block that runs over the split dimension of all split buffers it reads."""
        if facts.kind is not BlockKind.ELEMENTWISE:
            return None
        split = {str(old.name): dimension for old, (_, dimension) in self.split.items()}
        reads = [access for access in facts.reads if access.buffer.name in split and access.buffer.parameter is None]
        axes = {self._axis_at(access, split[access.buffer.name]) for access in reads}
        axis = axes.pop() if len(axes) == 1 else None
        written = facts.writes[0].plain_axes()
        if axis is None or written is None or axis not in written:
            return None
        return axis if facts.extent(axis) == self.facts.extent(self.axis) else None

    @staticmethod
    def _axis_at(access: Access, dimension: int) -> str | None:
        axes = access.plain_axes()
        return axes[dimension] if axes is not None else None

    def _rewritten(self, facts: BlockFacts, axis: str) -> Statement:
        """The nest of a block with `axis` split, and its buffer split too where it is inside the function."""
        group = group_axis(axis)
        extents = {it.name: it.size for it in facts.iterators}
        spatial: list[tuple[str, Expression]] = []
        for it in facts.spatial:
            sizes = [(group, it.extent // self.size), (axis, self.size)] if it.name == axis else [(it.name, it.size)]
            spatial += sizes
        nest = LoopNest(spatial, [(it.name, it.size) for it in facts.reduce], self.program.index)
        analyzer = tvm.sym.Analyzer()
        for name, extent in {**extents, **dict(spatial)}.items():
            analyzer.bind(nest.vars[name], Range(0, extent))
        whole = nest.vars[group] * self.size + nest.vars[axis]
        places = {
            old.var: whole if it.name == axis else nest.vars[it.name]
            for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)
        }

        def placed(tree: TirTree) -> TirTree:
            return tvm_ffi.structural_map(tree, (tirx.Var, lambda var: places.get(var, var)))

        def parts(buffer: Buffer, dimension: int, indices: Sequence[Expression]) -> tuple[Buffer, list[Expression]]:
            return buffer, [*indices[:dimension], nest.vars[group], nest.vars[axis], *indices[dimension + 1 :]]

        target = self._target(facts, axis)
        regions: list[BufferRegion] = []

        def load(node: BufferLoad) -> BufferLoad:
            indices = [analyzer.simplify(placed(index)) for index in node.indices]
            source, known = node.source, {**self.split, **self.views}.get(node.source)
            if known is not None:
                source, indices = parts(*known, indices)
            if not node.source.same_as(facts.block.body.buffer):
                regions.append(element_region(source, indices))
            return tirx.BufferLoad(source, indices)

        value = placed(tvm_ffi.structural_map(facts.block.body.value, (TensorLoad, load)))
        indices = [placed(index) for index in facts.block.body.indices]
        buffer = facts.block.body.buffer
        if target is not None:
            buffer, indices = parts(*target, indices)
        init = facts.block.init
        return nest.wrap(
            facts.name,
            tirx.BufferStore(buffer, value, indices),
            regions,
            [element_region(buffer, indices)],
            init=tirx.BufferStore(buffer, placed(init.value), indices) if init is not None else None,
            annotations=facts.block.annotations,
        )

    def _target(self, facts: BlockFacts, axis: str) -> tuple[Buffer, int] | None:
        """The split form of what a block writes, noted; None for an element-wise block that writes a parameter."""
        buffer = facts.block.body.buffer
        if facts.output.parameter is not None and facts.kind is BlockKind.ELEMENTWISE:
            return None
        axes = facts.writes[0].plain_axes()
        assert axes is not None
        self.split[buffer] = (self._split_buffer(buffer, axes.index(axis)), axes.index(axis))
        return self.split[buffer]

    def _joins(self, reader: BlockFacts | None) -> list[Statement]:
        """Copies back of the split buffers that a block reads in another way, or (at the end) that are parameters."""
        found = []
        for old, (new, dimension) in self.split.items():
            wanted = old in self.function.params if reader is None else self._reads(reader, old)
            if wanted and old not in self.joined:
                self.joined.add(old)
                found.append(self._join(old, new, dimension))
        return found

    def _reads(self, reader: BlockFacts, buffer: Buffer) -> bool:
        return any(region.source.same_as(buffer) for region in reader.block.reads)

    def _join(self, old: Buffer, new: Buffer, dimension: int) -> Statement:
        shape: Mapping[int, Expression] = dict(enumerate(new.ty.shape))
        nest = LoopNest([(f"d{d}", extent) for d, extent in shape.items()], [], self.program.index)
        source = list(nest.vars.values())
        whole = source[dimension] * self.size + source[dimension + 1]
        target = [*source[:dimension], whole, *source[dimension + 2 :]]
        store = tirx.BufferStore(old, tirx.BufferLoad(new, source), target)
        name = joined_block_name(str(old.name))
        return nest.wrap(name, store, [element_region(new, source)], [element_region(old, target)])
