"""The sizes of an attention kernel, what follows from them, and the buffers of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tvm import tirx
from tvm.ir import Range
from tvm.s_tir import SBlock, SBlockRealize

from flextune.analysis.attention_facts import AttentionFacts
from flextune.errors import ScheduleError
from flextune.platforms.cpu.attention.statements import index, line
from flextune.tvm_types import Buffer, BufferRegion, Expression, Statement

LOWEST = -3.4028234663852886e38
"""Where a largest score starts from, as in TVM's softmax."""


@dataclass(frozen=True, slots=True)
class AttentionTiles:
    """Sizes of an attention kernel."""

    rows: int
    """Query rows of a strip."""
    strips: int
    """Strips of a task."""
    score_vectors: int
    """The width of the register tile of scores, in vectors."""
    value_vectors: int
    """The width of the register tile of results, in vectors."""
    key_block: int
    """Keys that are taken at once."""
    lanes: int
    """Elements of a vector."""
    keys_before: int = 0
    """Whether keys are packed before all tasks, instead of by each."""
    pack_values: int = 0
    """Whether values are packed by each task, instead of read where they are."""
    unroll: int = 1
    """Steps of a product that are written out in a row."""

    def check(self, facts: AttentionFacts) -> None:
        """ScheduleError where these sizes are none for this attention."""
        if min(self.rows, self.strips, self.score_vectors, self.value_vectors, self.key_block, self.unroll) < 1:
            raise ScheduleError(f"sizes must be positive: {self}")
        if self.lanes < 1 or self.lanes & (self.lanes - 1):
            raise ScheduleError(f"a vector has a power of two lanes, not {self.lanes}")
        if self.key_block < facts.keys and self.key_block % (self.score_vectors * self.lanes):
            raise ScheduleError(f"a block of {self.key_block} keys is not made of whole register tiles")
        if (facts.narrow or facts.columns % self.lanes) and not self.pack_values:
            raise ScheduleError(f"values of {facts.columns} columns must be packed for vectors of {self.lanes}")


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """Some keys of a matrix and the rows of a task that meet them."""

    batch: Sequence[Expression]
    """The indices of the matrix."""
    first_row: Expression
    """The first of the rows."""
    start: Expression
    """The first of the keys."""
    size: int
    """How many keys."""
    packed: Expression
    """Where the packed keys of the block begin."""


@dataclass(frozen=True, eq=False)
class Layout:
    """One attention with its sizes."""

    facts: AttentionFacts
    tiles: AttentionTiles

    @property
    def matrices(self) -> int:
        return math.prod(self.facts.batch)

    @property
    def online(self) -> bool:
        """Whether there are several blocks of keys."""
        return self.tiles.key_block < self.facts.keys

    @property
    def key_block(self) -> int:
        return min(self.tiles.key_block, self.facts.keys)

    @property
    def task_rows(self) -> int:
        return self.tiles.rows * self.tiles.strips

    @property
    def row_blocks(self) -> int:
        """Tasks of one matrix."""
        return math.ceil(self.facts.queries / self.task_rows)

    @property
    def ragged(self) -> bool:
        """Whether strips reach beyond the last row."""
        return self.row_blocks * self.task_rows != self.facts.queries

    @property
    def padded_keys(self) -> int:
        return _round_up(self.facts.keys, self.tiles.lanes)

    @property
    def padded_columns(self) -> int:
        return _round_up(self.facts.columns, self.tiles.lanes)

    @property
    def score_stride(self) -> int:
        """Between rows of scores: an odd number of vectors, so that rows do not meet in the sets of a cache."""
        count = math.ceil(self.key_block / self.tiles.lanes)
        return (count + 1 - count % 2) * self.tiles.lanes

    # the sums of both products, in steps of one element or of a pair

    @property
    def group(self) -> int:
        """Elements that a step of a product takes: one float32, or a pair of bfloat16."""
        return 2 if self.facts.narrow else 1

    @property
    def depth_steps(self) -> int:
        return math.ceil(self.facts.depth / self.group)

    def key_steps(self, size: int) -> int:
        return math.ceil(size / self.group)

    @property
    def query_stride(self) -> int:
        """Steps between query rows of a strip: whole vectors of pairs."""
        return self.depth_steps if self.group == 1 else _round_up(self.depth_steps, self.tiles.lanes)

    # buffers

    @cached_property
    def packed_keys(self) -> Buffer:
        extent = (
            self.matrices * self.padded_keys if self.tiles.keys_before else _round_up(self.key_block, self.tiles.lanes)
        )
        return self._operand("packed_keys", extent * self.depth_steps)

    @cached_property
    def packed_values(self) -> Buffer:
        return self._operand("packed_values", self.key_steps(self.key_block) * self.padded_columns)

    @cached_property
    def queries(self) -> Buffer:
        return self._operand("queries", self.tiles.rows * self.query_stride)

    @cached_property
    def scores(self) -> Buffer:
        """Of a strip; then its weights, unless these are rounded."""
        return line("scores", self.tiles.rows * self.score_stride)

    @cached_property
    def weights(self) -> Buffer:
        """Of a strip, as the second product takes them."""
        return self._operand("weights", self.tiles.rows * self.weight_stride) if self.group > 1 else self.scores

    @property
    def weight_stride(self) -> int:
        """Steps between rows of weights."""
        return self.score_stride // self.group

    @cached_property
    def largest(self) -> Buffer:
        """The largest score of each row of a strip, one per lane."""
        return line("largest", self.tiles.rows * self.tiles.lanes)

    @cached_property
    def factors(self) -> Buffer:
        """By row of a strip: one over the sum of weights, or what a new block of keys rescales earlier ones by."""
        return line("factors", self.tiles.rows)

    @cached_property
    def totals(self) -> Buffer:
        """By row of a strip: the sum of weights."""
        return line("totals", self.tiles.rows)

    @cached_property
    def kept_results(self) -> Buffer:
        """Between blocks of keys, by row of the task: weighted sums of values so far."""
        return line("kept_results", self.task_rows * self.padded_columns)

    @cached_property
    def kept_largest(self) -> Buffer:
        return line("kept_largest", self.task_rows)

    @cached_property
    def kept_totals(self) -> Buffer:
        return line("kept_totals", self.task_rows)

    def own_buffers(self) -> list[Buffer]:
        """The buffers of a task."""
        own = [self.queries, self.scores, self.largest, self.factors]
        own += [self.weights] if self.group > 1 else []
        own += [self.kept_results, self.kept_largest, self.kept_totals] if self.online else [self.totals]
        own += [] if self.tiles.keys_before else [self.packed_keys]
        return own + ([self.packed_values] if self.tiles.pack_values else [])

    def _operand(self, name: str, extent: int) -> Buffer:
        """What a product reads: pairs of bfloat16 are kept as int32."""
        return line(name, extent, dtype="int32" if self.group > 1 else "float32")

    # places

    def batch_of(self, matrix: Expression) -> list[Expression]:
        """The position of a matrix along each axis of the batch."""
        places: list[Expression] = []
        for extent in reversed(self.facts.batch):
            places.insert(0, tirx.floormod(matrix, extent) if extent > 1 else index(0))
            matrix = tirx.floordiv(matrix, extent) if extent > 1 else matrix
        return places

    def row(self, row: Expression) -> Expression:
        """A row that is there, for reading."""
        return tirx.min(row, index(self.facts.queries - 1)) if self.ragged else row


@dataclass(frozen=True, slots=True)
class Panels:
    """Register tiles of one kind along an axis: `count` of them from column `first` on, with `true` columns each."""

    first: int
    vectors: int
    count: int
    true: int


def panels(extent: int, vectors: int, lanes: int) -> list[Panels]:
    """The register tiles over `extent` columns: whole ones, and a last one that is narrower or not all there.

    >>> [(each.first, each.vectors, each.count, each.true) for each in panels(37, 1, 16)]
    [(0, 1, 2, 16), (32, 1, 1, 5)]
    """
    width = vectors * lanes
    whole, rest = divmod(extent, width)
    found = [Panels(0, vectors, whole, width)] if whole else []
    return [*found, Panels(whole * width, math.ceil(rest / lanes), 1, rest)] if rest else found


def block(
    name: str, body: Statement, reads: Sequence[BufferRegion], writes: Sequence[BufferRegion], own: Sequence[Buffer]
) -> Statement:
    """A block that reads and writes buffers as a whole, and has buffers of its own."""
    regions = [
        [tirx.BufferRegion(buffer, [Range.from_min_extent(0, extent) for extent in buffer.ty.shape]) for buffer in side]
        for side in (reads, writes)
    ]
    return SBlockRealize([], True, SBlock([], *regions, name, body, alloc_buffers=list(own)))


def holding(own: Sequence[Buffer], body: Statement) -> Statement:
    """Statements with local buffers."""
    return block("registers", body, (), (), own)


def _round_up(extent: int, step: int) -> int:
    return -(-extent // step) * step
