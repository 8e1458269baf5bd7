"""What of a Winograd program's schedule is fixed before anything is searched: its blocks, loops and possible sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import BlockFacts, ProgramFacts
from flextune.analysis.roles import block_in_role
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.fusion import EpilogueChain, epilogue_chain
from flextune.schedule.space import VariableRole
from flextune.schedule.stage_names import store_block_name

RULE = "winograd"

_MAX_TILE_ROWS = 30
_MAX_VECTORS = 8
_WEIGHT_OPERAND = 1


@dataclass(frozen=True)
class WinogradGeometry:
    """The blocks of one Winograd convolution; see `flextune.plan.algorithms.winograd_program` for what they compute."""

    rows: BlockFacts
    """The first half of the data's transform: along one axis."""
    spectrum: BlockFacts
    """The second half, along the other axis."""
    product: BlockFacts
    """The products with the transformed weights, one matrix product per point."""
    back_rows: BlockFacts
    """The first half of the transform back."""
    result: BlockFacts
    """The second half, which writes the result."""
    pad: BlockFacts | None
    """What adds zeros at the edges, where that is a block."""
    chain: EpilogueChain
    """The elementwise blocks behind it that can be computed with each tile."""
    limits: CpuLimits
    """Of the core."""
    prefix: str = ""
    """What names of variables begin with."""

    @classmethod
    def of(
        cls, program: ProgramFacts, limits: CpuLimits, constants: tuple[int, ...], prefix: str = ""
    ) -> WinogradGeometry | None:
        """The convolution in `program`, or None; its weights must be a constant, which is packed."""
        roles = ("rows", "spectrum", "product", "back_rows", "result")
        rows, spectrum, product, back_rows, result = (block_in_role(program, f"winograd.{role}") for role in roles)
        if rows is None or spectrum is None or product is None or back_rows is None or result is None:
            return None
        if not product.factors or product.factors[_WEIGHT_OPERAND].buffer.parameter not in constants:
            return None
        pad, chain = block_in_role(program, "winograd.pad"), epilogue_chain(program, result)
        geometry = cls(rows, spectrum, product, back_rows, result, pad, chain, limits, prefix)
        spatial = {"y", "x", "co"} if geometry.batch == 1 else {"n", "y", "x", "co"}
        return geometry if set(geometry.axis_of_loop.values()) >= spatial else None

    def role(self, purpose: str, axis: str = "") -> VariableRole:
        """A variable of this schedule, to be declared."""
        return VariableRole(purpose, axis, prefix=self.prefix)

    def name(self, purpose: str, axis: str = "") -> str:
        """The name of a variable of this schedule."""
        return self.role(purpose, axis).name

    @property
    def last(self) -> BlockFacts:
        """The block that writes the finished result."""
        return self.chain.blocks[-1] if self.chain.blocks else self.result

    @property
    def store_block(self) -> str:
        """The block that writes the products out of the registers."""
        return store_block_name(self.product.name)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of all blocks of the algorithm, its epilogue included."""
        stages = (self.pad, self.rows, self.spectrum, self.product, self.back_rows, self.result, *self.chain.blocks)
        return tuple(stage.name for stage in stages if stage is not None)

    @cached_property
    def axis_of_loop(self) -> dict[str, str | None]:
        """The loops of the last block, in order, with the axis of the result that each runs over (None: no axis)."""
        back = {loop: axis for axis, loop in self.chain.axes.items()}
        return {it.name: back.get(it.name) for it in self.last.iterators}

    @property
    def outputs(self) -> int:
        """Edge of the tile of outputs: 2 or 4."""
        return self.back_rows.iterators[0].extent

    @property
    def inputs(self) -> int:
        """Edge of the tile of inputs."""
        return self.back_rows.iterators[1].extent

    @property
    def batch(self) -> int:
        return self.product.spatial[1].extent

    @property
    def tile_rows(self) -> int:
        return self.product.spatial[2].extent

    @property
    def tile_columns(self) -> int:
        return self.product.spatial[3].extent

    @property
    def tiles(self) -> int:
        """Tiles of all images together."""
        return self.batch * self.tile_rows * self.tile_columns

    @property
    def co(self) -> int:
        return self.product.spatial[4].extent

    @property
    def ci(self) -> int:
        return self.product.reduce[0].extent

    @property
    def element_bytes(self) -> int:
        return dtype_bits(self.product.output.dtype) // 8

    def lanes(self, channels: int) -> int:
        """Elements of the widest vector that leaves no tail."""
        return math.gcd(channels, self.limits.lanes(self.product.output.dtype))

    @cached_property
    def vectors(self) -> list[int]:
        """How many vectors wide the register tile may be."""
        return [v for v in _divisors(self.co // self.lanes(self.co)) if v <= _MAX_VECTORS]

    @property
    def heights(self) -> list[int]:
        """Rows of tiles that a register tile may span."""
        return [t for t in _divisors(self.tile_rows) if t <= _MAX_TILE_ROWS]

    @property
    def widths(self) -> list[int]:
        """Columns of tiles that a register tile may span."""
        return [t for t in _divisors(self.tile_columns) if t <= _MAX_TILE_ROWS]


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def divisors(number: int) -> list[int]:
    """All positive divisors, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return _divisors(number)
