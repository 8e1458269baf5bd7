"""Transposed convolutions without the zeros between the elements: a plain convolution for each phase of the stride.

before:  S[i] = A[(i - low) / s] where that is whole, else 0;   C[o] = sum over r < K of S[o + r] * B[K - 1 - r]
after:   P[q] = A[q - ...], with zeros around;                  W[p, u] = B[p + (T - 1 - u) * s], or 0 beyond B
         C[q, p] = sum over u < T of P[q + u] * W[p, u];         C_interleaved[q * s + p] = C[q, p]

Each of the s phases p has T = ceil(K / s) taps. Results that the original does not have, before its first and behind
its last, are cut off by one more block (`C_cropped`) where there are any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Range, TensorLoad
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import SPATIAL, Access, BlockFacts, BlockKind, ProgramFacts
from flextune.analysis.roles import role_of
from flextune.errors import ScheduleError
from flextune.schedule.nest import LoopNest, element_region
from flextune.schedule.parts import substituted
from flextune.tvm_types import Buffer, BufferLoad, BufferRegion, Expression, PrimFunc, Statement
from flextune.workload.roles import LOWS, SPREAD, STRIDES


@dataclass(frozen=True, slots=True)
class PhaseAxis:
    """One axis of the image."""

    dimension: int
    """Of the spread image, and of the image itself."""
    result: str
    """The iterator over results."""
    tap: str
    """The iterator over taps."""
    stride: int
    low: int
    """Zeros before the first element; negative where elements are cut off."""
    image: int
    """Elements of the image."""
    results: int
    taps: int
    """Of the whole window, `dilation` apart."""
    dilation: int

    @property
    def is_split(self) -> bool:
        return self.stride > 1

    @property
    def phase(self) -> str:
        """The iterator over phases."""
        return f"{self.result}_phase"

    @property
    def cut(self) -> int:
        """Results of the whole transposed convolution before the first that is kept."""
        return (self.taps - 1) * self.dilation - self.low

    @property
    def phase_taps(self) -> int:
        return math.ceil(self.taps / self.stride) if self.is_split else self.taps

    @property
    def first(self) -> int:
        return self.cut // self.stride

    @property
    def places(self) -> int:
        """How many results each phase has."""
        return math.ceil((self.cut + self.results) / self.stride) - self.first if self.is_split else self.results

    @property
    def before(self) -> int:
        """Zeros that the phases read before the image."""
        return self.phase_taps - 1 - self.first if self.is_split else self.low

    @property
    def extent(self) -> int:
        """What the phases read: the image with zeros around it."""
        return self.places + (self.phase_taps - 1) * (1 if self.is_split else self.dilation)

    @property
    def surplus(self) -> int:
        """Joined results before the first that is kept."""
        return self.cut - self.first * self.stride if self.is_split else 0

    @property
    def joined(self) -> int:
        """Results of all phases."""
        return self.places * self.stride if self.is_split else self.results

    @property
    def is_cropped(self) -> bool:
        return self.surplus > 0 or self.joined != self.results

    @property
    def is_padded(self) -> bool:
        return self.before != 0 or self.extent != self.image


def interleaved_block_name(block: str) -> str:
    """Name of the block that puts the phases of `block` side by side."""
    return f"{block}_interleaved"


def spread_convolution(program: ProgramFacts) -> str | None:
    """The transposed convolution that `split_phases` takes, if the program has one."""
    return next((b.name for b in program.blocks if _spread_of(program, b) is not None and _axes(program, b)), None)


def split_phases(function: PrimFunc, block: str) -> PrimFunc:
    """`function` with the transposed convolution `block` as the module text shows.

    Raises `ScheduleError` where it is none with a stride, or has a dilation along an axis with a stride.
    """
    program = read_program(function)
    facts = next((b for b in program.blocks if b.name == block), None) if program is not None else None
    if program is None or facts is None or not (axes := _axes(program, facts)):
        raise ScheduleError(f"cannot split block {block!r} into phases: it is no transposed convolution with a stride")
    return _Phases(function, program, facts, axes).run()


def _spread_of(program: ProgramFacts, facts: BlockFacts) -> BlockFacts | None:
    """The block that spreads the image for a convolution, and for it alone."""
    if facts.kind is not BlockKind.CONTRACTION or facts.is_symbolic or facts.writes[0].plain_axes() is None:
        return None
    for producer in program.producers(facts):
        if role_of(producer) == SPREAD and len(program.consumers(producer)) == 1:
            return producer
    return None


def _axes(program: ProgramFacts, facts: BlockFacts) -> tuple[PhaseAxis, ...]:
    """The axes of the image; none where the block is not of this form."""
    spread = _spread_of(program, facts)
    if spread is None:
        return ()
    strides, lows = ([int(each) for each in spread.block.annotations[name]] for name in (STRIDES, LOWS))
    (access,) = (each for each in facts.operands if each.buffer == spread.output)
    kinds = {it.name: it.kind for it in facts.iterators}
    found = []
    for dimension, (terms, stride, low) in enumerate(zip(access.terms, strides, lows, strict=True)):
        if dimension in (0, _channel_dimension(access, facts)):
            continue
        by_kind = {kinds[term.iterator]: term for term in terms or ()}
        if terms is None or len(terms) > 2 or len(by_kind) != len(terms):
            return ()
        result = by_kind.get(SPATIAL)
        tap = next((term for term in terms if kinds[term.iterator] != SPATIAL), None)
        if result is None or tap is None or (stride > 1 and tap.coefficient != 1):
            return ()
        found.append(
            PhaseAxis(
                dimension, result.iterator, tap.iterator, stride, low, spread.reads[0].buffer.shape[dimension],
                facts.extent(result.iterator), facts.extent(tap.iterator), tap.coefficient,
            )
        )  # fmt: skip
    return tuple(found) if any(axis.is_split for axis in found) else ()


def _channel_dimension(access: Access, facts: BlockFacts) -> int:
    """The dimension of the image that no result moves along, or that groups of channels do."""
    last = len(access.terms) - 1
    channels = {name for other in facts.operands if other != access for name in other.iterators}
    plain = [
        d for d in (1, last) if not any(t.divisor == 1 and t.iterator not in channels for t in access.terms[d] or ())
    ]
    return plain[0] if plain else last


class _Phases:
    def __init__(
        self, function: PrimFunc, program: ProgramFacts, facts: BlockFacts, axes: tuple[PhaseAxis, ...]
    ) -> None:
        self.function, self.program, self.facts, self.axes = function, program, facts, axes
        spread = _spread_of(program, facts)
        assert spread is not None
        self.spread = spread
        self.buffers: list[Buffer] = []

    @cached_property
    def image(self) -> Buffer:
        return self.spread.block.reads[0].source

    @cached_property
    def weight(self) -> Access:
        (weight,) = (each for each in self.facts.operands if each.buffer != self.spread.output)
        return weight

    @cached_property
    def weight_buffer(self) -> Buffer:
        name = self.weight.buffer.name
        return next(r.source for r in self.facts.block.reads if str(r.source.name) == name)

    def run(self) -> PrimFunc:
        root = self.function.body.block
        old = list(root.body) if isinstance(root.body, tirx.SeqStmt) else [root.body]
        body: list[Statement] = []
        for facts, statement in zip(self.program.blocks, old, strict=True):
            if facts.name == self.facts.name:
                body += self._statements()
            elif facts.name != self.spread.name:
                body.append(statement)
        gone = self.spread.block.writes[0].source
        allocated = [*(each for each in root.alloc_buffers if not each.same_as(gone)), *self.buffers]
        result = tirx.SeqStmt(body) if len(body) > 1 else body[0]
        block = SBlock([], [], [], root.name_hint, result, alloc_buffers=allocated, annotations=root.annotations)
        realize = SBlockRealize([], True, block)
        return tirx.PrimFunc(list(self.function.params), realize, self.function.ret_type, attrs=self.function.attrs)

    def _statements(self) -> list[Statement]:
        pad = [self._pad()] if any(axis.is_padded for axis in self.axes) else []
        weights = [self._weights()] if any(axis.is_split and axis.taps != axis.stride for axis in self.axes) else []
        source = self.buffers[0] if pad else self.image
        phased = self.buffers[-1] if weights else None
        product, result = self._product(source, phased)
        cropped = any(axis.is_cropped for axis in self.axes)
        joined, whole = self._join(result, cropped)
        return [*pad, *weights, product, joined, *([self._crop(whole)] if cropped else [])]

    def _new(self, shape: list[int], dtype: str, name: str) -> Buffer:
        buffer = tirx.decl_buffer(shape, dtype, name)
        self.buffers.append(buffer)
        return buffer

    def _pad(self) -> Statement:
        """The image with zeros around it."""
        by_dimension = {axis.dimension: axis for axis in self.axes}
        shape = [int(extent) for extent in self.image.ty.shape]
        shape = [by_dimension[d].extent if d in by_dimension else extent for d, extent in enumerate(shape)]
        dtype = str(self.image.ty.dtype)
        buffer = self._new(shape, dtype, "phase_pad")
        nest = LoopNest([(f"d{d}", extent) for d, extent in enumerate(shape)], [])
        place = list(nest.vars.values())
        source, guards = list(place), []
        for d, axis in by_dimension.items():
            source[d] = place[d] - axis.before if axis.before else place[d]
            guards += [place[d] >= axis.before] if axis.before > 0 else []
            guards += [place[d] < axis.before + axis.image] if axis.before + axis.image < axis.extent else []
        value = tirx.BufferLoad(self.image, source)
        if guards:
            value = tirx.if_then_else(tirx.all(*guards), value, tirx.const(0, dtype))
        store = tirx.BufferStore(buffer, value, place)
        return nest.wrap("phase_pad", store, [element_region(self.image, source)], [element_region(buffer, place)])

    def _weight_dimensions(self) -> dict[int, PhaseAxis]:
        """The dimensions of the weights that the taps of axes with a stride run along."""
        by_tap = {axis.tap: axis for axis in self.axes if axis.is_split}
        return {d: by_tap[name] for d, uses in enumerate(self.weight.uses) for name in uses if name in by_tap}

    def _weights(self) -> Statement:
        """The taps of every phase: each dimension of the window becomes one of phases and one of taps."""
        split, shape, names = self._weight_dimensions(), list(self.weight.buffer.shape), []
        extents: list[int] = []
        for d, extent in enumerate(shape):
            extents += [split[d].stride, split[d].phase_taps] if d in split else [extent]
            names += [f"p{d}", f"u{d}"] if d in split else [f"d{d}"]
        dtype = self.weight.buffer.dtype
        buffer = self._new(extents, dtype, "phase_weight")
        nest = LoopNest(list(zip(names, extents, strict=True)), [])
        source, guards = [], []
        for d, extent in enumerate(shape):
            if d not in split:
                source.append(nest.vars[f"d{d}"])
                continue
            axis = split[d]
            source.append(nest.vars[f"p{d}"] + (axis.phase_taps - 1 - nest.vars[f"u{d}"]) * axis.stride)
            guards += [source[-1] < extent] if axis.phase_taps * axis.stride > extent else []
        value = tirx.BufferLoad(self.weight_buffer, source)
        if guards:
            value = tirx.if_then_else(tirx.all(*guards), value, tirx.const(0, dtype))
        place = list(nest.vars.values())
        store = tirx.BufferStore(buffer, value, place)
        reads = [element_region(self.weight_buffer, source)]
        return nest.wrap("phase_weight", store, reads, [element_region(buffer, place)])

    def _loops(self) -> list[tuple[str, int]]:
        """Those over results: phases outermost, so that tiles are taken of channels and places before them."""
        places = {axis.result: axis.places for axis in self.axes if axis.is_split}
        phases = [(axis.phase, axis.stride) for axis in self.axes if axis.is_split]
        return [*phases, *((it.name, places.get(it.name, it.extent)) for it in self.facts.spatial)]

    def _product(self, image: Buffer, phased: Buffer | None) -> tuple[Statement, Buffer]:
        """The convolutions of all phases, and their result."""
        facts, split = self.facts, [axis for axis in self.axes if axis.is_split]
        taps = {axis.tap: axis for axis in self.axes}
        reduce = [(it.name, taps[it.name].phase_taps if it.name in taps else it.extent) for it in facts.reduce]
        loops = self._loops()
        nest, analyzer = LoopNest(loops, reduce), tvm.sym.Analyzer()
        for name, extent in (*loops, *reduce):
            analyzer.bind(nest.vars[name], Range(0, extent))
        dimension_of = {name: d for d, (name, _) in enumerate(loops)}
        result = self._new([extent for _, extent in loops], facts.output.dtype, facts.name)
        target = [nest.vars[name] for name in dimension_of]
        window = self._weight_dimensions()
        flipped = {
            axis.tap: axis.taps
            - 1
            - (nest.vars[axis.phase] + (axis.phase_taps - 1 - nest.vars[axis.tap]) * axis.stride)
            for axis in split
        }
        plain = {old.var: nest.vars[it.name] for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)}
        turned = {
            old.var: flipped.get(it.name, nest.vars[it.name])
            for old, it in zip(facts.block.iter_vars, facts.iterators, strict=True)
        }
        spread, own, regions = self.spread.block.writes[0].source, facts.block.body.buffer, []

        def load(node: BufferLoad) -> BufferLoad:
            if node.source.same_as(own):
                return tirx.BufferLoad(result, target)
            if node.source.same_as(spread):
                source, indices = image, [analyzer.simplify(substituted(index, plain)) for index in node.indices]
            else:
                source, indices = self.weight_buffer, []
                for d, index in enumerate(node.indices):
                    if phased is not None and d in window:
                        indices += [nest.vars[window[d].phase], nest.vars[window[d].tap]]
                    else:
                        indices.append(analyzer.simplify(substituted(index, turned)))
                source = phased if phased is not None else source
            regions.append(element_region(source, indices))
            return tirx.BufferLoad(source, indices)

        value = substituted(tvm_ffi.structural_map(facts.block.body.value, (TensorLoad, load)), plain)
        init = tirx.BufferStore(result, substituted(facts.block.init.value, plain), target)
        store = tirx.BufferStore(result, value, target)
        writes = [element_region(result, target)]
        annotations = facts.block.annotations
        return nest.wrap(facts.name, store, regions, writes, init=init, annotations=annotations), result

    def _join(self, result: Buffer, cropped: bool) -> tuple[Statement, Buffer]:
        """The phases side by side, in the place of the result itself where nothing is cut off."""
        loops, by_result = self._loops(), {axis.result: axis for axis in self.axes}
        nest = LoopNest(loops, [])
        written = self.facts.writes[0].plain_axes() or ()
        whole = self.facts.block.body.buffer
        if cropped:
            shape = [
                by_result[name].joined if name in by_result else extent
                for name, extent in zip(written, self.facts.output.shape, strict=True)
            ]
            whole = self._new(shape, self.facts.output.dtype, f"{self.facts.name}_whole")
        target: list[Expression] = []
        for name in written:
            axis = by_result.get(name) if name is not None else None
            place = nest.vars[name] if name is not None else 0
            target.append(place * axis.stride + nest.vars[axis.phase] if axis is not None and axis.is_split else place)
        source = list(nest.vars.values())
        store = tirx.BufferStore(whole, tirx.BufferLoad(result, source), target)
        name = interleaved_block_name(self.facts.name)
        return nest.wrap(name, store, [element_region(result, source)], [element_region(whole, target)]), whole

    def _crop(self, whole: Buffer) -> Statement:
        """The results that are kept."""
        by_result = {axis.result: axis for axis in self.axes}
        written, out = self.facts.writes[0].plain_axes() or (), self.facts.block.body.buffer
        nest = LoopNest([(f"d{d}", extent) for d, extent in enumerate(self.facts.output.shape)], [])
        place = list(nest.vars.values())
        source = [
            index + by_result[name].surplus if name in by_result and by_result[name].surplus else index
            for index, name in zip(place, written, strict=True)
        ]
        store = tirx.BufferStore(out, tirx.BufferLoad(whole, source), place)
        name = f"{self.facts.name}_cropped"
        regions: list[BufferRegion] = [element_region(whole, source)]
        return nest.wrap(name, store, regions, [element_region(out, place)])
