"""Which axis of a reduction to vectorise over, and what follows from that choice before anything is searched.

Lanes of a vector register are neighbours along one spatial axis of the result: y[j:j+16] += a * b[j:j+16].
An operand that does not use the axis is the same for all lanes (broadcast); one that does should have it contiguous, or
is *packed*: copied into an order in which it is. Each spatial axis is tried, the most suitable one is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from flextune.analysis.program_facts import Access, BlockFacts, BlockKind, Iterator, ProgramFacts
from flextune.platforms.cpu.limits import CpuLimits, DotIntrinsic
from flextune.platforms.cpu.rules.fusion import EpilogueChain, epilogue_chain, stage_of

_LEAST_REUSE = 4
"""Results that must read an element of an operand for a copy in another order to pay, where it is made in every run."""
_MAX_EXTENT = 1 << 30  # padded to whole tiles, loops still count in 32 bits
_MAX_STRIDE = 4
"""Elements between neighbouring lanes (pooling with strides): beyond, too little of each cache line is used."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reduction block and all choices about it that are not searched."""

    facts: BlockFacts
    """The block."""
    chain: EpilogueChain
    """The elementwise blocks behind it that can be computed with each tile."""
    vector: str
    """The spatial iterator whose neighbours are the lanes of a vector register."""
    packed: int | None
    """Which operand may be copied into an order in which `vector` is contiguous."""
    must_pack: bool
    """Whether it has to be; otherwise packing is searched."""
    ragged: bool
    """Whether the tile need not divide the extent of `vector`."""
    intrinsic: DotIntrinsic | None
    """The dot product that computes the tile, if any."""
    constant: bool
    """Whether the packed operand is known when the model is built: then it is packed once, before the first run."""
    uniform: int = 0
    """So many neighbouring lanes read the same element of a grouped operand; 0 where there is no such operand."""
    gathers: bool = False
    """Whether an operand is read with a stride between lanes."""

    @property
    def last(self) -> BlockFacts | None:
        return self.chain.blocks[-1] if self.chain.blocks else None

    @property
    def reduction(self) -> int:
        """Length of the reduction."""
        return math.prod(it.extent for it in self.facts.reduce)


def choose_anchor(
    program: ProgramFacts, facts: BlockFacts, limits: CpuLimits, constants: tuple[int, ...]
) -> Anchor | None:
    """How `facts` can be vectorised over a spatial axis, or None if no axis suits."""
    if facts.writes[0].plain_axes() is None or not facts.reduce:
        return None
    if any(it.extent > _MAX_EXTENT for it in facts.spatial):
        return None
    options = [o for it in facts.spatial if (o := _anchor_over(program, facts, it, limits, constants)) is not None]
    return max(options, key=lambda anchor: _suitability(anchor, limits), default=None)


def without_epilogue(anchor: Anchor) -> Anchor:
    """The same choices, but that the result is stored by itself."""
    return replace(anchor, chain=EpilogueChain((), {it.name: it.name for it in anchor.facts.spatial}))


def _anchor_over(
    program: ProgramFacts, facts: BlockFacts, axis: Iterator, limits: CpuLimits, constants: tuple[int, ...]
) -> Anchor | None:
    users = [i for i, a in enumerate(facts.operands) if axis.name in a.iterators]
    if axis.extent < 2 or (not users and facts.kind is BlockKind.CONTRACTION):
        return None
    # Grouped convolutions: lanes read the same element of an operand as long as they stay within `uniform` neighbours
    groups = {i: facts.operands[i].uniform_within(axis.name) for i in users}
    uniform = math.gcd(*(g for g in groups.values() if g is not None)) if users else 0
    users = [i for i in users if groups[i] is None]
    # One operand at most is packed: one that is not contiguous along the axis if there is such, else the last (weights)
    packable = [i for i in users if _packable(facts, i, axis.name)]
    strided = [i for i in users if facts.operands[i].stride_of(axis.name) != 1]
    packed = next((i for i in packable if i in strided), packable[-1] if packable else None)
    if any(i != packed and not 0 < (facts.operands[i].stride_of(axis.name) or 0) <= _MAX_STRIDE for i in strided):
        return None
    # Others are read with a small stride; it is not worth packing in every run what few results read again
    gathers = any(i != packed for i in strided)
    strided = [i for i in strided if i == packed]
    constant = packed is not None and _repacked_beforehand(facts.operands[packed], constants)
    reuse = math.prod(it.extent for it in facts.spatial if it.name != axis.name and packed is not None)
    if strided and not constant and reuse < _LEAST_REUSE:
        return None
    # A last tile that is not whole is possible where everything along the axis is packed or computed in a stage of ours
    plain = facts.kind is not BlockKind.CONTRACTION or len(facts.reads) <= len(facts.factors)  # no scales besides
    ragged = (
        plain
        and not uniform
        and all(i == packed or stage_of(program, facts, facts.operands[i]) is not None for i in users)
    )
    # A dot product reads, for each lane, neighbours along the reduction: only packed weights (operand 1) lie like that
    intrinsic = dot_product(facts, limits) if packed == 1 else None
    if intrinsic is not None and (uniform % intrinsic.lanes or not (constant or strided or _is_shared(facts, packed))):
        intrinsic = None
    must_pack = constant or bool(strided) or intrinsic is not None
    chain = epilogue_chain(program, facts)
    return Anchor(facts, chain, axis.name, packed, must_pack, ragged, intrinsic, constant, uniform, gathers)


def _repacked_beforehand(operand: Access, constants: tuple[int, ...]) -> bool:
    return operand.buffer.parameter in constants and operand.plain_axes() is not None


def _is_shared(facts: BlockFacts, operand: int | None) -> bool:
    """Whether enough results read the same elements of an operand to bring it into another order first."""
    used = frozenset() if operand is None else facts.operands[operand].iterators
    return math.prod(it.extent for it in facts.spatial if it.name not in used) >= _LEAST_REUSE


def _packable(facts: BlockFacts, operand: int, vector: str) -> bool:
    axes = facts.operands[operand].separate_axes(facts.extents)
    if facts.kind is not BlockKind.CONTRACTION or axes is None or facts.operands[operand].buffer == facts.output:
        return False
    others = {n for i, a in enumerate(facts.operands) if i != operand for n in a.iterators}
    return any(it.name not in axes and it.name in others for it in facts.spatial) or vector in axes


def dot_product(facts: BlockFacts, limits: CpuLimits) -> DotIntrinsic | None:
    """The tensor intrinsic of the block's types and accesses, if more than half of its groups is no filling."""
    inner = dot_axis(facts, *facts.factors) if len(facts.factors) == 2 else None
    if inner is None:
        return None
    data, weight = facts.factors
    dtypes = (data.buffer.dtype, weight.buffer.dtype, facts.output.dtype)
    known = {(each.data_dtype, each.weight_dtype, each.accumulator_dtype): each for each in limits.intrinsics}
    intrinsic, extent = known.get(dtypes), facts.extent(inner)
    return intrinsic if intrinsic and math.ceil(extent / intrinsic.group) * intrinsic.group < 2 * extent else None


def dot_axis(facts: BlockFacts, data: Access, weight: Access) -> str | None:
    """The reduce axis along which the data is contiguous and nothing else moves."""
    reduced = {it.name for it in facts.reduce}
    near = [term.iterator for term in data.terms[-1] or () if term.coefficient == 1 and term.divisor == 1]
    unit = [name for name in near if name in reduced]
    if len(unit) != 1 or any(name in uses for name in unit for uses in data.uses[:-1]):
        return None
    return unit[0] if unit[0] in weight.iterators else None


def _suitability(anchor: Anchor, limits: CpuLimits) -> float:
    """The share of lanes that are filled, less for writing with strides, gathering and tails, more for dot products."""
    extent = anchor.facts.extent(anchor.vector)
    lanes = limits.lanes(anchor.facts.output.dtype)
    full = extent / (math.ceil(extent / lanes) * lanes) if extent >= lanes else extent / lanes
    last = anchor.last or anchor.facts
    loops, along = last.iterators if anchor.last is not None else last.spatial, anchor.chain.axes.get(anchor.vector)
    contiguous = bool(loops) and along == loops[-1].name and last.writes[0].stride_of(along) in (None, 1)
    ragged = 1.0 if anchor.ragged or extent % lanes == 0 else 0.7
    return (
        full
        * (1.0 if contiguous else 0.8)
        * (0.5 if anchor.gathers else 1.0)
        * ragged
        * (2.0 if anchor.intrinsic else 1.0)
    )
