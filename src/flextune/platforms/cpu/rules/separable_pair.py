"""A depthwise convolution and the product that alone reads it, as blocks of one program."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flextune.analysis.program_facts import BlockFacts, BlockKind, Iterator, ProgramFacts
from flextune.schedule.written_out import is_short_sum

_LEAST_AXES = 3
"""Of an image: rows, columns, channels."""


@dataclass(frozen=True, slots=True)
class SeparablePair:
    """`window` is a sum over a window of every channel; `product` sums over the channels of what comes of it.

    `between` are the element-wise blocks on the way, in program order, the last of which writes what `product` reads;
    `padding` is the block that pads the image, if one does.
    """

    window: BlockFacts
    between: tuple[BlockFacts, ...]
    product: BlockFacts
    padding: BlockFacts | None

    @property
    def stage(self) -> str:
        """The block that is left when the window is written out and taken in by what follows it."""
        return self.between[-1].name if self.between else self.window.name

    @property
    def inlined(self) -> tuple[str, ...]:
        """The blocks that the stage takes in, in the order in which they are."""
        return tuple(block.name for block in (self.window, *self.between))[:-1]

    @property
    def blocks(self) -> frozenset[str]:
        """All of them."""
        padding = () if self.padding is None else (self.padding,)
        return frozenset(block.name for block in (*padding, self.window, *self.between, self.product))

    @property
    def channels(self) -> Iterator:
        """The axis that vectors of windows run along."""
        return self.window.spatial[-1]

    @property
    def taps(self) -> int:
        """Of one window."""
        return math.prod(it.extent for it in self.window.reduce)

    @property
    def columns(self) -> Iterator:
        """The axis of the image next to the channels."""
        return self.window.spatial[-2]

    @property
    def column_step(self) -> int:
        """Elements of the image between windows that are neighbours along `columns`."""
        return self._along_columns(self.columns.name)

    @property
    def column_taps(self) -> int:
        """Elements of a window along `columns`."""
        return math.prod(it.extent for it in self.window.reduce if self._along_columns(it.name))

    def _along_columns(self, iterator: str) -> int:
        for terms in self.window.factors[0].terms:
            found = {term.iterator: term.coefficient for term in terms or () if term.divisor == 1}
            if self.columns.name in found:
                return found.get(iterator, 0)
        return 0


def find_pair(program: ProgramFacts) -> SeparablePair | None:
    """The pair of a program: a product over channels of what a window over the image of each channel gives; or None."""
    for product in program.blocks:
        window = _window_of(program, product) if product.kind is BlockKind.CONTRACTION else None
        if window is not None:
            return window
    return None


def _window_of(program: ProgramFacts, product: BlockFacts) -> SeparablePair | None:
    data = product.factors[0].buffer
    last = next((block for block in program.producers(product) if block.output == data), None)
    if last is None or len(program.consumers(last)) != 1 or _reads_windows(product):
        return None
    between, window = _back_to_window(program, last)
    if window is None or not _is_window(window):
        return None
    if [it.extent for it in last.spatial] != [it.extent for it in window.spatial]:
        return None
    inside = (window, *between)
    if any(reader not in inside for block in inside[:-1] for reader in program.consumers(block)):
        return None
    padding = [block for block in program.producers(window) if block.output == window.factors[0].buffer]
    if padding and not _is_padding(program, padding[0]):
        return None
    return SeparablePair(window, tuple(between), product, padding[0] if padding else None)


def _back_to_window(program: ProgramFacts, last: BlockFacts) -> tuple[list[BlockFacts], BlockFacts | None]:
    """The element-wise blocks that lead to `last`, in program order, and the one block of another kind before them."""
    found, others, waiting = [], [], [last]
    while waiting:
        block = waiting.pop()
        if block in found or block in others:
            continue
        if block.kind is BlockKind.ELEMENTWISE:
            found.append(block)
            waiting += program.producers(block)
        else:
            others.append(block)
    found.sort(key=program.blocks.index)
    return found, others[0] if len(others) == 1 else None


def _reads_windows(product: BlockFacts) -> bool:
    """Whether neighbours of a result read some of the same data: what tasks compute of it would overlap."""
    reduce = {it.name for it in product.reduce if it.extent > 1}
    spatial = {it.name for it in product.spatial}
    return any(uses & reduce and uses & spatial for uses in product.factors[0].uses)


def _is_window(block: BlockFacts) -> bool:
    """Whether a block is a short sum that vectors along its last axis compute: each channel by itself."""
    axes = block.writes[0].plain_axes() if block.writes else None
    spatial = [it.name for it in block.spatial]
    if not is_short_sum(block) or axes is None or len(spatial) < _LEAST_AXES or block.output.parameter is not None:
        return False
    if [axis for axis in axes if axis is not None] != [name for name in spatial if name in axes]:
        return False
    return all(factor.stride_of(spatial[-1]) == 1 for factor in block.factors)


def _is_padding(program: ProgramFacts, block: BlockFacts) -> bool:
    return block.kind is BlockKind.ELEMENTWISE and len(program.consumers(block)) == 1
