"""A schedule of a program with symbolic sizes, as text that can be recorded, and the tiles that its time depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flextune.analysis.blocks import read_program
from flextune.analysis.symbols import with_sizes
from flextune.errors import UsageError
from flextune.platforms.symbolic_kernels import applied
from flextune.schedule.apply import ScheduledProgram
from flextune.schedule.rewriting_steps import Restage
from flextune.schedule.step import value_of
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.tvm_types import PrimFunc


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

    def apply(self, function: PrimFunc, constants: tuple[int, ...], target: Target) -> ScheduledProgram:
        """The function by this schedule, right at all sizes. ScheduleError where it cannot be applied."""
        return applied(function, dict(self.made_at), self.trace, dict(self.assignment), constants, target)

    def tiles(self, function: PrimFunc, symbols: Sequence[str]) -> tuple[int, ...]:
        """The size of a register tile along each symbol; 1 along those without."""
        program = read_program(with_sizes(function, dict(self.made_at)))
        found: dict[str, int] = {}
        for step in self.trace.steps:
            if isinstance(step, Restage) and program is not None:
                facts = next((each for each in program.blocks if each.name == step.block), None)
                extents = {} if facts is None else {it.name: it.symbol for it in facts.iterators}
                for axis, factors in step.tiles:
                    size = 1
                    for factor in factors:
                        size *= 1 if factor is None else value_of(factor, dict(self.assignment))
                    if extents.get(axis) is not None:
                        found[str(getattr(extents[axis], "name", ""))] = size
        return tuple(found.get(symbol, 1) for symbol in symbols)


def _numbers(raw: Mapping[str, object]) -> dict[str, int]:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in raw.values()):
        raise ValueError("sizes and choices are whole numbers")
    return {str(name): int(str(value)) for name, value in raw.items()}
