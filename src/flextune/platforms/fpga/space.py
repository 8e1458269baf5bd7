"""Overlays and schedules of one product as one space, with the cells of the part as limits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp import Assignment, Constraint, Divides, Domain, Le, Problem, Prod, Sum, Table, Variable
from flextune.csp.constraint import Operand
from flextune.errors import UsageError
from flextune.platforms.fpga.model import cycles_of
from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.schedule import Schedule
from flextune.schedule.space import Columns, SearchSpace, promising_space
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.workload import Workload

RULE = "fpga"
SIDES = (4, 8, 16)
BUSES = (8, 16, 32, 64)
RESULTS = (2, 4, 8)
DEPTHS = (128, 256, 512)
SLOTS = (2, 4, 8)
WORDS = 16
"""Pieces along K are multiples of it: of as many words as a line of the widest bus has for the fewest elements."""

LUT_ELEMENT, LUT_BUS = 99, 19
"""LUTs of an element with its share of the skews, and of a byte of the bus: yosys counts 2 to 7 % fewer for 4 x 4 and
8 x 8 elements at 16 bytes, and for 8 x 4 at 32."""

Sizes = tuple[int, int, int, int]
"""Batches, m, n, k."""


def fpga_space(workload: Workload, target: Target) -> SearchSpace:
    """Raises `UsageError` for what the overlay does not compute, `InfeasibleError` where no overlay fits."""
    sizes = sizes_of(workload)
    draft = _Draft(sizes, target)
    problem = Problem(tuple(draft.variables), tuple(draft.constraints))

    def promise(columns: Columns) -> npt.NDArray[np.float64]:
        return 1 / cycles_of(sizes, target.number("latency"), columns)

    return promising_space(workload, target, Trace(()), problem, (RULE,), (promise,))


def sizes_of(workload: Workload) -> Sizes:
    """Of a product of int8. Raises `UsageError` for anything else."""
    params = dict(workload.params)
    is_plain = params.get("epilogue") == "none"
    if workload.operator not in ("gemm", "bmm") or workload.dtype != "int8" or not is_plain:
        raise UsageError(f"fpga computes gemm and bmm of dtype=int8 without epilogue, not {workload}")
    return (int(params.get("b", 1)), *(int(params[name]) for name in "mnk"))  # type: ignore[return-value]


def schedule_of(sizes: Sizes, assignment: Assignment) -> Schedule:
    """The overlay and the schedule that a member of the space stands for."""
    names = ("rows", "columns", "bus", "results", "depth", "slots")
    overlay = Overlay(*(assignment[name] for name in names))
    return Schedule(overlay, *sizes, assignment["tile_k"], assignment["order"])


class _Draft:
    """Variables and constraints as they come to be."""

    def __init__(self, sizes: Sizes, target: Target) -> None:
        self._target = target
        _, m, n, k = sizes
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []
        for name, values in (
            *(("rows", SIDES), ("columns", SIDES), ("bus", BUSES), ("results", RESULTS)),
            *(("depth", DEPTHS), ("slots", SLOTS), ("order", (0, 1))),
        ):
            self._choose(name, values)
        pieces = {WORDS * -(-k // (WORDS * count)) for count in range(1, -(-k // WORDS) + 1)}
        self._choose("tile_k", sorted(pieces))
        self._counted("steps_k", "tile_k", {piece: -(-k // piece) for piece in pieces})
        self._counted("panels_m", "rows", {side: -(-m // side) for side in SIDES})
        self._counted("panels_n", "columns", {side: -(-n // side) for side in SIDES})
        self._limits()

    def _choose(self, name: str, values: Sequence[int]) -> None:
        self.variables.append(Variable(name, Domain.of(*values)))

    def _counted(self, name: str, by: str, counts: dict[int, int]) -> None:
        self._choose(name, sorted(set(counts.values())))
        self.constraints.append(Table((by, name), tuple(counts.items()), name=name, rule=RULE))

    def _at_most(self, left: Operand, right: Operand, name: str, reason: str) -> None:
        self.constraints.append(Le(left, right, name=name, reason=reason, rule=RULE))

    def _limits(self) -> None:
        target = self._target
        for side in ("rows", "columns"):
            reason = "a line of the bus is whole words of an operand"
            self.constraints.append(Divides(side, "bus", name=f"bus_{side}", reason=reason, rule=RULE))
        self._at_most("bus", target.number("bus"), "bus_width", "memory gives so many bytes a cycle")
        self._at_most("tile_k", "depth", "slot_depth", "a piece along K fits its slot")
        self._product("dsps", "rows", "columns")
        self._at_most("dsps", target.number("dsp"), "dsp", "each element has a multiplier of its own")
        self._product("element_luts", LUT_ELEMENT, "dsps")
        self._product("bus_luts", LUT_BUS, "bus")
        self.variables.append(Variable("luts"))
        self.constraints.append(Sum("luts", ("element_luts", "bus_luts"), name="luts", rule=RULE))
        self._at_most(
            "luts", target.number("lut"), "lut", "logic of elements, skews and the bus, fitted to yosys' counts"
        )
        names = ("rows", "columns", "bus", "depth", "slots")
        rows = tuple(
            (*values, Overlay(*values[:3], 4, *values[3:]).brams)
            for values in itertools.product(SIDES, SIDES, BUSES, DEPTHS, SLOTS)
        )
        self._choose("brams", sorted({row[-1] for row in rows}))
        self.constraints.append(Table((*names, "brams"), rows, name="brams", rule=RULE))
        self._at_most("brams", target.number("bram"), "bram", "the slots of both operands, as wide as the bus")

    def _product(self, name: str, *factors: Operand) -> None:
        self.variables.append(Variable(name))
        self.constraints.append(Prod(name, factors, name=name, rule=RULE))
