"""A schedule of a program with symbolic sizes, as text that can be recorded, and the tiles that its time depends on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from flextune.analysis.blocks import read_program
from flextune.analysis.sizes_of_shapes import size_of
from flextune.analysis.symbols import symbols_of, with_sizes
from flextune.errors import UsageError
from flextune.schedule.rewriting_steps import Restage
from flextune.schedule.step import value_of
from flextune.schedule.trace import Trace
from flextune.tvm_types import PrimFunc
from flextune.workload.dim_expr import DimExpr, ceil_div, minimum


@dataclass(frozen=True, slots=True)
class Variant:
    """A trace with its assignment, and the sizes of the program that it was made for."""

    made_at: tuple[tuple[str, int], ...]
    trace: Trace
    assignment: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """One line; `from_json` is its inverse."""
        values = {"made_at": dict(self.made_at), "assignment": dict(self.assignment)}
        return json.dumps({**values, "trace": json.loads(self.trace.to_json())})

    @classmethod
    def from_json(cls, text: str) -> Variant:
        """UsageError for a text that is no variant."""
        try:
            raw = json.loads(text)
            made_at, assignment = (tuple(_numbers(raw[name]).items()) for name in ("made_at", "assignment"))
            return cls(made_at, Trace.from_json(json.dumps(raw["trace"])), assignment)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"expected a recorded schedule, got {text[:80]!r}: {error}") from None

    def work(self, function: PrimFunc, cores: int) -> DimExpr:
        """What its time grows with, over the function's symbols: tiles of its largest block that one core computes.

        A tile that is not full counts as a whole one, and so does a core's turn in which others have nothing to do. Of
        a block without register tiles these are its iterations.
        """
        sizes = {symbol: DimExpr.of(str(symbol.name)) for symbol in symbols_of(function)}
        program = read_program(with_sizes(function, dict(self.made_at)))
        if program is None or not program.blocks:
            return math.prod(sizes.values(), start=DimExpr.of(1))
        block = max(program.blocks, key=lambda each: each.trips)
        tiles = self._tiles(block.name)
        tasks, each, rest = DimExpr.of(1), DimExpr.of(1), DimExpr.of(1)
        for it in block.iterators:
            size = None if it.symbol is None else size_of(it.symbol, sizes)
            if tiles is None or it in block.reduce:
                rest = rest * (1 if size is None else size)
                continue
            grid, cache, tile = (tiles.value(part, it.name) for part in ("grid", "cache", "tile"))
            if size is None:
                tasks = tasks * grid
                continue
            count = ceil_div(size, tiles.vector if it.name == tiles.axis else tile)
            tasks, each = tasks * ceil_div(count, cache), each * minimum(count, cache)
        return ceil_div(tasks, cores) * each * rest

    def _tiles(self, block: str) -> _Tiles | None:
        values = dict(self.assignment)
        for step in self.trace.steps:
            if isinstance(step, Restage) and step.block == block:
                *_, (axis, (vectors, *lanes)) = step.tiles
                width = math.prod(1 if each is None else value_of(each, values) for each in (vectors, *lanes))
                return _Tiles(values, str(vectors).removesuffix("vectors"), axis, width)
        return None


@dataclass(frozen=True, slots=True)
class _Tiles:
    """The sizes of a register tile and of what is around it."""

    values: Mapping[str, int]
    prefix: str
    """Of the names of its variables."""
    axis: str
    """Along which vectors are."""
    vector: int
    """How long the tile is along that."""

    def value(self, part: str, axis: str) -> int:
        """1 for what is not chosen."""
        return self.values.get(f"{self.prefix}{part}_{axis}", 1)


def _numbers(raw: Mapping[str, object]) -> dict[str, int]:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in raw.values()):
        raise ValueError("sizes and choices are whole numbers")
    return {str(name): int(str(value)) for name, value in raw.items()}
