"""Facts about a PrimFunc as values: its blocks, their loops, and how each block accesses each buffer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flextune.tvm_types import (
    Block,
    Expression,
)

SPATIAL, REDUCE = "spatial", "reduce"


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an index: the iterator, rounded down to the `divisor`-th part of it, times the coefficient."""

    iterator: str
    coefficient: int
    divisor: int = 1


Linear = tuple[Term, ...]
"""An index that is the sum of these and of a constant."""

WORD = "uint32"
"""Holds eight weights of four bits."""
_STORED = ("int8", WORD)
"""Element types of weights that a product widens by scales of their own."""


class BlockKind(StrEnum):
    """What a block computes, as far as scheduling cares."""

    ELEMENTWISE = "elementwise"
    CONTRACTION = "contraction"
    REDUCTION = "reduction"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Iterator:
    """One block iterator and the loop bound to it."""

    name: str
    extent: int
    """Its trip count; where that is symbolic, the one at the representative sizes of the function."""
    kind: str
    symbol: Expression = field(default=None, compare=False, repr=False)
    """The trip count where it is symbolic, else None."""

    @property
    def size(self) -> Expression:
        """The trip count as it is: a number, or an expression over symbols."""
        return self.extent if self.symbol is None else self.symbol


@dataclass(frozen=True, slots=True)
class BufferFacts:
    """A buffer: name, shape and element type; `parameter` is its position in the signature or None.

    Buffers inside the program may have one name; `local` tells them apart.
    """

    name: str
    shape: tuple[int, ...]
    """Its extents; of those that are symbolic, the numbers at the representative sizes of the function."""
    dtype: str
    """Its element type."""
    parameter: int | None
    local: int | None = None
    sizes: tuple[Expression, ...] = field(default=(), compare=False, repr=False)
    """Its extents as they are: numbers, and expressions over symbols."""

    @property
    def elements(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, slots=True)
class Access:
    """One access of a block to a buffer.

    `terms[d]` are those of the index in dimension `d`; it is None where the index is not linear. `uses[d]` names every
    iterator that occurs in dimension `d`.
    """

    buffer: BufferFacts
    terms: tuple[Linear | None, ...]
    uses: tuple[frozenset[str], ...]

    @property
    def iterators(self) -> frozenset[str]:
        """Names of all iterators that the access depends on."""
        return frozenset().union(*self.uses)

    def plain_axes(self) -> tuple[str | None, ...] | None:
        """The iterator that is each dimension's index (None for a constant zero extent-1 dimension).

        None altogether when some dimension is not exactly one iterator, or one iterator serves two dimensions.
        """
        axes: list[str | None] = []
        for terms, extent in zip(self.terms, self.buffer.shape, strict=True):
            if terms is None or len(terms) > 1 or (not terms and extent != 1):
                return None
            if any(term.coefficient != 1 or term.divisor != 1 for term in terms):
                return None
            axes.append(terms[0].iterator if terms else None)
        named = [axis for axis in axes if axis is not None]
        return tuple(axes) if len(set(named)) == len(named) else None

    def separate_axes(self, extents: Mapping[str, int]) -> frozenset[str] | None:
        """The iterators, if different values of them always access different elements, each in one dimension alone.

        Several iterators may share a dimension as the digits of its index, `g * 34 + c` with c < 34. None otherwise.
        """
        found: list[str] = []
        for terms in self.terms:
            if terms is None:
                return None
            weight = 1
            for term in sorted(terms, key=lambda term: term.coefficient):
                if term.coefficient != weight or term.divisor != 1 or term.iterator not in extents:
                    return None
                found.append(term.iterator)
                weight *= extents[term.iterator]
        return frozenset(found) if len(set(found)) == len(found) else None

    def uniform_within(self, iterator: str) -> int | None:
        """The largest g such that aligned groups of g neighbours along `iterator` access the same element, or None."""
        groups: list[int] = []
        for terms, uses in zip(self.terms, self.uses, strict=True):
            if iterator in uses:
                divisors = [term.divisor for term in terms or () if term.iterator == iterator]
                if not divisors or 1 in divisors:
                    return None
                groups += divisors
        return math.gcd(*groups) if groups else None

    def stride_of(self, iterator: str) -> int | None:
        """Elements between accesses of neighbouring values of `iterator` (row-major); None if not linear."""
        stride, total = 1, 0
        for terms, uses, extent in zip(
            reversed(self.terms), reversed(self.uses), reversed(self.buffer.shape), strict=True
        ):
            if iterator in uses:
                own = [term for term in terms or () if term.iterator == iterator]
                if terms is None or any(term.divisor != 1 for term in own):
                    return None
                total += sum(term.coefficient for term in own) * stride
            stride *= extent
        return total


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """One block: iterators in loop order, what it reads and writes, and what kind of computation it is."""

    name: str
    """Of the block in its function."""
    iterators: tuple[Iterator, ...]
    """With the extents of the loops they are bound to."""
    reads: tuple[Access, ...]
    """In the order of the expression."""
    writes: tuple[Access, ...]
    """One, but for opaque blocks."""
    kind: BlockKind
    """What scheduling may do with it."""
    factors: tuple[Access, ...] = ()
    """Of a contraction: what its product multiplies."""
    block: Block = field(default=None, compare=False, repr=False)
    """The block in TensorIR."""

    @property
    def operands(self) -> tuple[Access, ...]:
        """The two factors of a contraction; whatever is read otherwise."""
        return self.factors or self.reads

    @property
    def spatial(self) -> tuple[Iterator, ...]:
        return tuple(it for it in self.iterators if it.kind == SPATIAL)

    @property
    def reduce(self) -> tuple[Iterator, ...]:
        return tuple(it for it in self.iterators if it.kind == REDUCE)

    @property
    def output(self) -> BufferFacts:
        return self.writes[0].buffer

    def extent(self, name: str) -> int:
        """Trip count of an iterator by name."""
        return next(it.extent for it in self.iterators if it.name == name)

    @property
    def extents(self) -> Mapping[str, int]:
        """Trip counts of all iterators."""
        return {it.name: it.extent for it in self.iterators}

    @property
    def is_symbolic(self) -> bool:
        """Whether a trip count is known only when the program runs."""
        return any(it.symbol is not None for it in self.iterators)

    @property
    def trips(self) -> int:
        """Product of all extents."""
        count = 1
        for it in self.iterators:
            count *= it.extent
        return count


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """All blocks of a function, in program order."""

    blocks: tuple[BlockFacts, ...]
    parameters: tuple[BufferFacts, ...]
    index: str = "int32"
    """What new loops count in: the type of the function's symbols, where it has any."""

    def block(self, name: str) -> BlockFacts:
        return next(b for b in self.blocks if b.name == name)

    def consumers(self, block: BlockFacts) -> tuple[BlockFacts, ...]:
        """Blocks that read what `block` writes."""
        return tuple(b for b in self.blocks if b is not block and any(r.buffer == block.output for r in b.reads))

    def producers(self, block: BlockFacts) -> tuple[BlockFacts, ...]:
        """Blocks that write what `block` reads."""
        read = {r.buffer for r in block.reads}
        return tuple(b for b in self.blocks if b is not block and b.output in read)
