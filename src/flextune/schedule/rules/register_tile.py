"""The register tile: a reduction vectorised over one spatial axis, its accumulators kept in registers.

The shape of every fast CPU contraction (Goto and van de Geijn 2008, section 4; FlexTensor section 4.1 for the tiling levels;
Heron section 4 for limits as constraints): an operand packed into panels, a tile of rows x vectors accumulated over
the whole reduction, cache tiles around it, the grid outside shared among the cores, the epilogue on the finished tile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.analysis.blocks import Access, BlockFacts, BlockKind, Iterator, ProgramFacts
from flextune.csp import Eq, In, Le, Prod, Select, Sum, When
from flextune.schedule.limits import CpuLimits, DotIntrinsic, dtype_bits
from flextune.schedule.restage import pack_block_name, store_block_name
from flextune.schedule.rules.fusion import EpilogueChain, epilogue_chain, stage_of
from flextune.schedule.space import Columns, Draft
from flextune.schedule.steps import (
    Choose,
    ComputeAt,
    Decompose,
    Fuse,
    ImportCode,
    Inline,
    Loops,
    Mark,
    Reorder,
    Restage,
    Split,
    Step,
    Tensorize,
)

RULE = "register-tile"

_MAX_WASTE = 1.25
_MAX_VECTORS = 16
_MAX_ROWS = 30
_LEAST_REUSE = 4
_MAX_STRIDE = 4


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reduction block and all choices about it that are not searched."""

    facts: BlockFacts
    chain: EpilogueChain
    vector: str
    packed: int | None
    must_pack: bool
    ragged: bool
    intrinsic: DotIntrinsic | None
    constant: bool
    uniform: int = 0
    gathers: bool = False

    @property
    def last(self) -> BlockFacts | None:
        return self.chain.blocks[-1] if self.chain.blocks else None

    @property
    def reduction(self) -> int:
        """Length of the reduction."""
        return math.prod(it.extent for it in self.facts.reduce)


def choose_anchor(program: ProgramFacts, facts: BlockFacts, limits: CpuLimits, constants: tuple[int, ...]) -> Anchor | None:
    """How `facts` can be vectorised over a spatial axis, or None if no axis suits."""
    if facts.writes[0].plain_axes() is None or not facts.reduce:
        return None
    options = [o for it in facts.spatial if (o := _anchor_over(program, facts, it, limits, constants)) is not None]
    return max(options, key=lambda anchor: _suitability(anchor, limits), default=None)


def _anchor_over(
    program: ProgramFacts, facts: BlockFacts, axis: Iterator, limits: CpuLimits, constants: tuple[int, ...]
) -> Anchor | None:
    users = [i for i, a in enumerate(facts.operands) if axis.name in a.iterators]
    if axis.extent < 2 or (not users and facts.kind is BlockKind.CONTRACTION):
        return None
    groups = {i: facts.operands[i].uniform_within(axis.name) for i in users}
    uniform = math.gcd(*(g for g in groups.values() if g is not None)) if users else 0
    users = [i for i in users if groups[i] is None]
    packable = [i for i in users if _packable(facts, i, axis.name)]
    strided = [i for i in users if facts.operands[i].stride_of(axis.name) != 1]
    packed = next((i for i in packable if i in strided), packable[-1] if packable else None)
    if any(i != packed and not 0 < (facts.operands[i].stride_of(axis.name) or 0) <= _MAX_STRIDE for i in strided):
        return None
    gathers = any(i != packed for i in strided)
    strided = [i for i in strided if i == packed]
    constant = packed is not None and facts.operands[packed].buffer.parameter in constants
    reuse = math.prod(it.extent for it in facts.spatial if it.name != axis.name and packed is not None)
    if strided and not constant and reuse < _LEAST_REUSE:
        return None
    ragged = not uniform and all(i == packed or stage_of(program, facts, facts.operands[i]) is not None for i in users)
    intrinsic = _intrinsic(facts, packed, limits)
    if intrinsic is not None and uniform % intrinsic.lanes:
        intrinsic = None
    must_pack = constant or bool(strided) or intrinsic is not None
    chain = epilogue_chain(program, facts)
    return Anchor(facts, chain, axis.name, packed, must_pack, ragged, intrinsic, constant, uniform, gathers)


def _packable(facts: BlockFacts, operand: int, vector: str) -> bool:
    axes = facts.operands[operand].plain_axes()
    if facts.kind is not BlockKind.CONTRACTION or axes is None or facts.operands[operand].buffer == facts.output:
        return False
    others = {n for i, a in enumerate(facts.operands) if i != operand for n in a.iterators}
    return any(it.name not in set(axes) and it.name in others for it in facts.spatial) or vector in axes


def _intrinsic(facts: BlockFacts, packed: int | None, limits: CpuLimits) -> DotIntrinsic | None:
    if packed is None or len(facts.factors) != 2:
        return None
    data, weight = facts.factors[1 - packed], facts.factors[packed]
    inner = _dot_axis(facts, data, weight)
    for intrinsic in limits.intrinsics:
        dtypes = (intrinsic.data_dtype, intrinsic.weight_dtype, intrinsic.accumulator_dtype)
        if dtypes == (data.buffer.dtype, weight.buffer.dtype, facts.output.dtype) and packed == 1:
            return intrinsic if inner is not None and facts.extent(inner) % intrinsic.group == 0 else None
    return None


def _dot_axis(facts: BlockFacts, data: Access, weight: Access) -> str | None:
    """The reduce axis along which the data is contiguous and nothing else moves."""
    last = data.coefficients[-1]
    unit = [name for name, c in last or () if c == 1 and any(it.name == name for it in facts.reduce)]
    if len(unit) != 1 or any(name in uses for name in unit for uses in data.uses[:-1]):
        return None
    return unit[0] if unit[0] in weight.iterators else None


def _suitability(anchor: Anchor, limits: CpuLimits) -> float:
    extent = anchor.facts.extent(anchor.vector)
    lanes = limits.lanes(anchor.facts.output.dtype)
    full = extent / (math.ceil(extent / lanes) * lanes) if extent >= lanes else extent / lanes
    loops = anchor.last.iterators if anchor.last is not None else anchor.facts.spatial
    contiguous = bool(loops) and anchor.chain.axes.get(anchor.vector) == loops[-1].name
    ragged = 1.0 if anchor.ragged or extent % lanes == 0 else 0.7
    return full * (1.0 if contiguous else 0.8) * (0.5 if anchor.gathers else 1.0) * ragged * (2.0 if anchor.intrinsic else 1.0)


class RegisterTileRule:
    """Schedules one reduction block with its data stage and epilogue; see the module text."""

    def __init__(self, draft: Draft, anchor: Anchor, limits: CpuLimits, prefix: str = "") -> None:
        self.draft, self.anchor, self.limits, self.prefix = draft, anchor, limits, prefix
        self.facts = anchor.facts
        self.target_block = anchor.last.name if anchor.last is not None else store_block_name(self.facts.name)
        iterators = anchor.last.iterators if anchor.last is not None else self.facts.spatial
        back = {loop: name for name, loop in anchor.chain.axes.items()}
        self.loops = tuple(it.name for it in iterators)
        self.axis_of_loop = {it.name: back.get(it.name) for it in iterators}
        self.axes = [n for loop in self.loops if (n := self.axis_of_loop[loop]) is not None]
        self.outer_axes = [n for n in self.axes if n != anchor.vector and self.facts.extent(n) > 1]
        self.row_axes = [n for n in self.outer_axes if self._is_row(n)][-2:]
        self.stages = [s for a in self.facts.operands if (s := stage_of(draft.program, self.facts, a)) is not None]
        self.element_bytes = max(dtype_bits(a.buffer.dtype) for a in self.facts.operands) // 8

    def apply(self) -> None:
        """Append steps, variables and constraints to the draft."""
        self.draft.used(RULE)
        self._declare_tile()
        self._declare_grid()
        self._declare_choices()
        self.draft.add(*self._tile_steps(), *self._inner_steps(), *self._stage_steps(), *self._pack_steps())
        self.draft.add(*self._init_steps())
        self.draft.merits.append(self._merit)
        self.draft.scheduled |= {self.facts.name, *(b.name for b in self.anchor.chain.blocks), *(s.name for s in self.stages)}

    # variables and constraints

    def _name(self, name: str) -> str:
        return self.prefix + name

    def _is_row(self, axis: str) -> bool:
        """Whether neighbours along `axis` share what is loaded for the vector axis."""
        return sum(axis in a.iterators for a in self.facts.operands) <= 1 or len(self.facts.operands) < 2

    def _extent(self, axis: str) -> int:
        return self.facts.extent(axis)

    def _declare_tile(self) -> None:
        draft, vector = self.draft, self.anchor.vector
        for axis in self.row_axes:
            last = axis == self.row_axes[-1]
            values = _tiles(self._extent(axis), _MAX_ROWS if last else 8)
            draft.variable(self._name(f"tile_{axis}"), values)
        lanes = self._lane_choices()
        panels = self._panels(lanes)
        draft.variable(self._name("vectors"), sorted({p // n for p in panels for n in lanes if p % n == 0 and p // n <= _MAX_VECTORS}))
        draft.variable(self._name("lanes"), lanes)
        panel, accumulators, registers = (draft.derived(self._name(n)) for n in ("panel", "accumulators", "registers"))
        rows = tuple(self._name(f"tile_{a}") for a in self.row_axes)
        draft.require(
            Prod(panel, (self._name("vectors"), self._name("lanes")), name=f"{panel}_size", rule=RULE),
            In(panel, tuple(panels), name=f"{panel}_waste", rule=RULE,
               reason=f"at most {_MAX_WASTE - 1:.0%} of the {self._extent(vector)} elements of {vector} may be padding"),
            Prod(accumulators, (*rows, self._name("vectors")), name=f"{accumulators}_count", rule=RULE),
            Sum(registers, (accumulators, self._name("vectors"), 1), name=f"{registers}_count", rule=RULE),
            Le(registers, max(self.limits.vector_registers, 3), name=f"{registers}_limit", rule=RULE,
               reason=f"accumulators, one row of vectors and one broadcast fit the {self.limits.vector_registers} registers"),
        )  # fmt: skip

    def _lane_choices(self) -> list[int]:
        if self.anchor.intrinsic is not None:
            return [self.anchor.intrinsic.lanes]
        full = self.limits.lanes(self.facts.output.dtype)
        extent = self._extent(self.anchor.vector)
        widths = [full, full // 2] + ([full // 4] if extent % (full // 2) else [])
        return [n for n in widths if n >= 2 and (n == full or n < extent * 2)] or [full]

    def _panels(self, lanes: list[int]) -> list[int]:
        """Widths of the vector tile: little padding, and exact where a tail could not be loaded."""
        extent = self.anchor.uniform or self._extent(self.anchor.vector)
        widths = sorted({v * n for v in range(1, _MAX_VECTORS + 1) for n in lanes})
        if not self.anchor.ragged:
            exact = [w for w in widths if extent % w == 0]
            return exact or self._exact_narrow(extent, lanes)
        waste = {w: math.ceil(extent / w) * w / extent for w in widths}
        allowed = max(_MAX_WASTE, min(waste.values()))
        return [w for w in widths if waste[w] <= allowed]

    def _exact_narrow(self, extent: int, lanes: list[int]) -> list[int]:
        width = max((d for d in range(1, lanes[0] + 1) if extent % d == 0), default=1)
        lanes[:] = [width]
        return [width]

    def _declare_grid(self) -> None:
        """Tiles of every axis = cache tiles x grid; the grid of all axes is shared among the cores."""
        draft, grids = self.draft, []
        for axis in [*self.outer_axes, self.anchor.vector]:
            tiles, counts = self._tile_counts(axis)
            cache, grid = self._name(f"cache_{axis}"), self._name(f"grid_{axis}")
            possible = sorted({d for count in counts for d in _divisors(count)})
            draft.variable(cache, possible)
            draft.variable(grid, possible)
            draft.require(Prod(tiles, (cache, grid), name=f"{cache}_split", rule=RULE, reason="cache tiles times grid cover the axis"))
            grids.append(grid)
        tasks = draft.derived(self._name("tasks"))
        most = math.prod(max(self._tile_counts(a, declare=False)[1]) for a in [*self.outer_axes, self.anchor.vector])
        draft.require(
            Prod(tasks, tuple(grids), name=f"{tasks}_count", rule=RULE),
            Le(min(self.limits.cores, most), tasks, name=f"{tasks}_parallel", rule=RULE, reason="every core gets work"),
        )
        self._declare_cache_limits()

    def _tile_counts(self, axis: str, declare: bool = True) -> tuple[str | int, list[int]]:
        """The number of register tiles along `axis`: a literal or a derived variable, and its possible values."""
        extent = self._extent(axis)
        if axis == self.anchor.vector:
            index, widths = self._name("panel"), self._panels(self._lane_choices())
        elif axis in self.row_axes:
            index, widths = self._name(f"tile_{axis}"), _tiles(extent, _MAX_ROWS if axis == self.row_axes[-1] else 8)
        else:
            return extent, [extent]
        counts = [0] + [math.ceil(extent / w) for w in range(1, max(widths) + 1)]
        name = self._name(f"tiles_{axis}")
        if declare:
            self.draft.derived(name)
            self.draft.require(
                Select(name, index, tuple(counts), name=f"{name}_count", rule=RULE, reason="a tail tile counts as a whole one")
            )
        return name, [counts[w] for w in widths]

    def _declare_cache_limits(self) -> None:
        draft, limits = self.draft, self.limits
        if self.anchor.packed is None:
            return
        panel_bytes, block_bytes = draft.derived(self._name("panel_bytes")), draft.derived(self._name("block_bytes"))
        column = self.anchor.reduction * self.element_bytes
        least = column * min(self._panels(self._lane_choices()))
        share = limits.l3_bytes // limits.cores
        draft.require(
            Prod(panel_bytes, (column, self._name("panel")), name=f"{panel_bytes}_size", rule=RULE),
            Le(panel_bytes, max(limits.l2_bytes * 3 // 4, least), name=f"{panel_bytes}_in_l2", rule=RULE,
               reason="the packed panel of a register tile stays in L2"),
            Prod(block_bytes, (panel_bytes, self._name(f"cache_{self.anchor.vector}")), name=f"{block_bytes}_size", rule=RULE),
            Le(block_bytes, max(share, least), name=f"{block_bytes}_in_l3", rule=RULE,
               reason="the panels of a cache tile stay in a core's share of L3"),
        )  # fmt: skip

    def _declare_choices(self) -> None:
        draft = self.draft
        self.unroll = self._name("unroll")
        group = self.anchor.intrinsic.group if self.anchor.intrinsic else 1
        draft.variable(self.unroll, [u for u in (1, 2, 4) if (self.facts.extent(self._reduce_order()[-1]) // group) % u == 0])
        if len(self.outer_axes) > 0:
            draft.variable(self._name("grid_order"), (0, 1))
            draft.variable(self._name("cache_order"), (0, 1))
        if self.anchor.packed is not None and not self.anchor.must_pack:
            pack = draft.variable(self._name("pack"), (0, 1))
            exact = tuple(w for w in self._panels(self._lane_choices()) if self._extent(self.anchor.vector) % w == 0)
            draft.require(
                When(Eq(pack, 0), In(self._name("panel"), exact or (0,)), name=f"{pack}_unpacked_exact", rule=RULE,
                     reason="an operand that is not packed has no padding to load a tail from")
            )  # fmt: skip
        for stage in self.stages:
            draft.variable(self._name(f"at_{stage.name}"), (0, 1))

    # steps

    def _reduce_order(self) -> list[str]:
        """Reduce axes, the one of the tensor intrinsic's dot product last."""
        names = [it.name for it in self.facts.reduce]
        if self.anchor.intrinsic is not None and self.anchor.packed is not None:
            inner = _dot_axis(self.facts, self.facts.factors[1 - self.anchor.packed], self.facts.factors[self.anchor.packed])
            names = [n for n in names if n != inner] + [n for n in names if n == inner]
        return names

    def _loop(self, part: str, axis: str) -> str:
        return f"{self.facts.name}.{part}.{axis}"

    def _tile_steps(self) -> list[Step]:
        anchor, vector = self.anchor, self.anchor.vector
        tiles: list[tuple[str, tuple[int | str | None, ...]]] = [(a, (self._name(f"tile_{a}"),)) for a in self.row_axes]
        tiles.append((vector, (self._name("vectors"), self._name("lanes"))))
        outer: tuple[str, ...] = ()
        if anchor.packed is not None:
            used = self.facts.operands[anchor.packed].iterators
            shared = [it.name for it in self.facts.spatial if it.name in used and it.name != vector]
            outer = (*shared, vector, *(n for n in self._reduce_order() if n in used))
        group = anchor.intrinsic.group if anchor.intrinsic else 1
        when = self._name("pack") if anchor.packed is not None and not anchor.must_pack else None
        steps: list[Step] = [
            Restage(self.facts.name, tuple(tiles), vector, anchor.packed, outer, group, anchor.last is not None, when)
        ]
        steps += [Inline(b.name) for b in anchor.chain.blocks[:-1] if b.name not in self.draft.scheduled]
        names = {loop: self._loop("out", loop) for loop in self.loops}
        steps.append(Loops(self.target_block, tuple(names.values())))
        caches, grids, inner = {}, {}, []
        for loop in self.loops:
            axis = self.axis_of_loop[loop]
            part = loop if axis is None else axis
            parts: list[tuple[str, int | str | None]] = [(self._loop("grid", part), None)]
            if axis in self.outer_axes or axis == vector:
                parts.append((self._loop("cache", part), self._name(f"cache_{axis}")))
                caches[axis] = parts[-1][0]
            if axis in self.row_axes:
                parts.append((self._loop("tile", part), self._name(f"tile_{axis}")))
                inner.append(parts[-1][0])
            if axis == vector:
                vectors, lanes = (self._loop("vectors", part), self._name("vectors")), (self._loop("lanes", part), self._name("lanes"))
                parts += [vectors, lanes]
                inner += [vectors[0], lanes[0]]
            grids[part] = parts[0][0]
            if len(parts) > 1:
                steps.append(Split(names[loop], tuple(f for _, f in parts), tuple(n for n, _ in parts)))
            else:
                grids[part] = names[loop]
        return steps + self._order_steps(grids, caches, inner)

    def _order_steps(self, grids: Mapping[str, str], caches: Mapping[str | None, str], inner: list[str]) -> list[Step]:
        vector = self.anchor.vector
        plain = [g for part, g in grids.items() if part != vector]
        grid_orders = [(*plain, grids[vector]), (grids[vector], *plain)]
        rows = [c for axis, c in caches.items() if axis != vector]
        cache_orders = [(*rows, caches[vector]), (caches[vector], *rows)]
        steps: list[Step] = []
        self.parallel = self._loop("grid", "all")
        if self.outer_axes:
            steps.append(Reorder(tuple((*g, *cache_orders[0], *inner) for g in grid_orders), self._name("grid_order")))
            steps.append(Choose(self._name("cache_order"), ((), (Reorder((cache_orders[1],)),))))
            steps.append(Choose(self._name("grid_order"), tuple((Fuse(g, self.parallel),) for g in grid_orders)))
        else:
            steps += [Reorder(((*grid_orders[0], *cache_orders[0], *inner),)), Fuse(grid_orders[0], self.parallel)]
        steps.append(Mark(self.parallel, "parallel"))
        at = [(ComputeAt(self.facts.name, order[-1]),) for order in cache_orders]
        steps += [Choose(self._name("cache_order"), tuple(at))] if self.outer_axes else list(at[0])
        return steps + self._store_marks(inner)

    def _store_marks(self, inner: list[str]) -> list[Step]:
        """Vector stores where the vector axis is contiguous in the output; otherwise the tile is written element-wise."""
        lanes = self._loop("lanes", self.anchor.vector)
        if inner[-1] != lanes:
            return []
        return [Mark(lanes, "vectorize"), *(Mark(loop, "unroll") for loop in reversed(inner[:-1]))]

    def _inner_steps(self) -> list[Step]:
        """The loops of the accumulating block inside the register tile: reduction outside, rows, vectors, lanes inside."""
        order = [it.name for it in self.facts.spatial if it.name != self.anchor.vector]
        names = [self._loop("acc", n) for n in [*order, self.anchor.vector, *(it.name for it in self.facts.reduce)]]
        vectors, lanes = self._loop("acc", "vectors"), self._loop("acc", "lanes")
        reduce = [self._loop("acc", n) for n in self._reduce_order()]
        group = self.anchor.intrinsic.group if self.anchor.intrinsic else 1
        split = [self._loop("acc", "steps"), self._loop("acc", "unroll")] + ([self._loop("acc", "dot")] if group > 1 else [])
        factors: tuple[int | str | None, ...] = (None, self.unroll, group) if group > 1 else (None, self.unroll)
        rows = [self._loop("acc", n) for n in order]
        steps: list[Step] = [
            Loops(self.facts.name, tuple(names)),
            Split(self._loop("acc", self.anchor.vector), (None, self._name("lanes")), (vectors, lanes)),
            Split(reduce[-1], factors, tuple(split)),
            Reorder(((*reduce[:-1], *split[:2], *rows, vectors, lanes, *split[2:]),)),
        ]
        self.first_reduce = (reduce[:-1] + split)[0]
        marks = [Mark(loop, "unroll") for loop in (vectors, *reversed(rows), split[1])]
        self.vector_mark: list[Step] = [Mark(lanes, "vectorize")] if self.anchor.intrinsic is None else []
        self.dot_loop = lanes
        return steps + self.vector_mark + list(marks)

    def _stage_steps(self) -> list[Step]:
        """Data stages (padding, casts): all at once in parallel, or by each core for the part it needs."""
        steps: list[Step] = []
        for stage in self.stages:
            loops = tuple(f"{stage.name}.{it.name}" for it in stage.iterators)
            whole: list[Step] = [Loops(stage.name, loops)]
            if len(loops) > 1:
                whole += [Fuse(loops[:-1], f"{stage.name}.all"), Mark(f"{stage.name}.all", "parallel")]
            lanes = self.limits.lanes(stage.output.dtype)
            inner = stage.iterators[-1]
            if inner.extent % lanes == 0 and all(r.stride_of(inner.name) in (0, 1) for r in stage.reads):
                whole += [Split(loops[-1], (None, lanes), (f"{stage.name}.v", f"{stage.name}.l")), Mark(f"{stage.name}.l", "vectorize")]
            steps.append(Choose(self._name(f"at_{stage.name}"), (tuple(whole), (ComputeAt(stage.name, self.parallel),))))
        return steps

    def _pack_steps(self) -> list[Step]:
        anchor = self.anchor
        if anchor.packed is None or anchor.constant:
            return []
        access = self.facts.operands[anchor.packed]
        shared = [it.name for it in self.facts.spatial if it.name in access.iterators and it.name != anchor.vector]
        reduce = [n for n in self._reduce_order() if n in access.iterators]
        group = anchor.intrinsic.group if anchor.intrinsic else 1
        block = pack_block_name(self.facts.name)
        outer = [f"{block}.{n}" for n in (*shared, anchor.vector)]
        inner = [f"{block}.{n}" for n in reduce]
        tail = [f"{block}.tile"] + ([f"{block}.group"] if group > 1 else [])
        steps: list[Step] = [
            Loops(block, (*outer, *inner, *tail)),
            Fuse(tuple(outer), f"{block}.panels"),
            Mark(f"{block}.panels", "parallel"),
        ]
        if access.stride_of(anchor.vector) == 1:
            lanes = (f"{block}.vectors", f"{block}.lanes")
            steps.append(Split(tail[0], (None, self._name("lanes")), lanes))
            if group > 1:
                steps.append(Fuse((lanes[1], tail[1]), f"{block}.copied"))
            steps.append(Mark(f"{block}.copied" if group > 1 else lanes[1], "vectorize"))
        return [Choose(self._name("pack"), ((), tuple(steps)))] if not anchor.must_pack else steps

    def _init_steps(self) -> list[Step]:
        """Split the zeroing off last: the primitives before need the reduction whole."""
        rows = [it.name for it in self.facts.spatial if it.name != self.anchor.vector]
        init = f"{self.facts.name}_init"
        loops = [f"{init}.{n}" for n in (*rows, "vectors", "lanes")]
        steps: list[Step] = [Decompose(self.facts.name, self.first_reduce), Loops(init, tuple(loops)), Mark(loops[-1], "vectorize")]
        steps += [Mark(loop, "unroll") for loop in reversed(loops[:-1])]
        if self.anchor.intrinsic is not None:
            steps.append(Tensorize(self.dot_loop, self.anchor.intrinsic.name))
            if self.anchor.intrinsic.code is not None:
                steps.append(ImportCode(self.parallel, self.anchor.intrinsic.code))
        return steps

    # how promising an assignment looks

    def _merit(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Estimated share of peak: the default schedule maximises it.

        Cycles of one step of the reduction in the register tile: one multiply-add of a vector a cycle against loads at
        the rate of the cache level that holds what is reused; times the shares of useful lanes, of true (not
        padded) elements, of hidden latency and of busy cores.
        """

        def column(name: str) -> npt.NDArray[np.float64]:
            values = columns.get(self._name(name))
            return np.ones(len(columns[self._name("vectors")])) if values is None else values.astype(np.float64)

        vectors, lanes, tasks = column("vectors"), column("lanes"), column("tasks")
        rows, true_share = np.ones_like(vectors), np.ones_like(vectors)
        for axis in self.row_axes:
            rows = rows * column(f"tile_{axis}")
            true_share = true_share * _true_share(self._extent(axis), column(f"tile_{axis}"))
        true_share = true_share * _true_share(self._extent(self.anchor.vector), vectors * lanes)
        multiply = rows * vectors
        panel = column("panel") * self.anchor.reduction * self.element_bytes
        reused = np.where(column("cache_order") == 0, panel * column(f"cache_{self.anchor.vector}"), panel)
        load = vectors * lanes * self.element_bytes / self._bytes_per_cycle(reused) + 0.5 * rows
        busy = tasks / (np.ceil(tasks / self.limits.cores) * self.limits.cores)
        share = multiply / (np.maximum(multiply, load) + 0.1 * load) * np.minimum(1.0, multiply / 10.0)
        overhead = 1.0 / (1.0 + 2e-4 * tasks)
        return share * true_share * lanes / max(self._lane_choices()) * busy * overhead * self._merit_of_choices(columns)

    def _bytes_per_cycle(self, working_set: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Rate at which a core loads from the cache level that holds a working set of so many bytes."""
        limits = self.limits
        return np.where(working_set <= limits.l1_bytes / 2, 64.0, np.where(working_set <= limits.l2_bytes * 3 / 4, 24.0, 8.0))

    def _merit_of_choices(self, columns: Columns) -> npt.NDArray[np.float64]:
        score = np.where(columns[self.unroll] == 1, 1.0, 0.99)
        if (pack := columns.get(self._name("pack"))) is not None:
            reuse = math.prod(self._extent(a) for a in self.row_axes)
            score = score * np.where(pack == int(reuse >= 32), 1.0, 0.8)
        for stage in self.stages:
            score = score * np.where(columns[self._name(f"at_{stage.name}")] == 0, 1.0, 0.97)
        return score


def _true_share(extent: int, tile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of elements that are not padding when `extent` is covered by whole tiles."""
    return extent / (np.ceil(extent / tile) * tile)


def _tiles(extent: int, most: int) -> list[int]:
    """Tile sizes with little padding, and always 1."""
    sizes = range(1, min(extent, most) + 1)
    return [t for t in sizes if math.ceil(extent / t) * t / extent <= _MAX_WASTE]


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]
