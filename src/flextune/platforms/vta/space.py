"""The schedules of a form on an accelerator: tiles, slots, orders and loops, with the hardware's limits as constraints.

Tiles are numbers of elements: `tile_n=64` is four blocks of 16 channels. Where a tile does not divide its axis, or 16
the channels, the last one computes with zeros, and what comes of them is cut off.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp import Assignment, Constraint, Divides, Domain, Le, Problem, Prod, Select, Sum, Table, Variable
from flextune.csp.constraint import Operand
from flextune.platforms.vta.estimate import cycles_of
from flextune.platforms.vta.form import Axis, Form, blocks, form_of
from flextune.platforms.vta.hardware import ACCUMULATOR_BYTES, BLOCK, INPUT_BYTES, WEIGHT_BYTES, Hardware, hardware_of
from flextune.platforms.vta.tiling import LOOP_AXES, SPATIAL, AxisTiles, Tiling
from flextune.schedule.space import Columns, SearchSpace, promising_space
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.workload import Workload

RULE = "vta"
LOAD_SLOTS = (1, 2, 4)
STORE_SLOTS = (1, 2)
ORDERS = (0, 1)

_STEP_INSTRUCTIONS = 4
"""Of a step beside loads of inputs, at most: weights, micro-ops, product."""
_TILE_INSTRUCTIONS = 4
"""Of a tile of the output beside stores, biases and epilogue, at most: zeroing, and micro-ops for that."""


def vta_space(workload: Workload, target: Target) -> SearchSpace:
    """Raises `UsageError` for what the accelerator does not compute, `InfeasibleError` where nothing fits."""
    form, hardware = form_of(workload), hardware_of(target)
    draft = _Draft(form, hardware)
    problem = Problem(tuple(draft.variables), tuple(draft.constraints))

    def promise(columns: Columns) -> npt.NDArray[np.float64]:
        return 1 / cycles_of(form, hardware, columns)

    return promising_space(workload, target, Trace(()), problem, (RULE,), (promise,))


def tiling_of(form: Form, hardware: Hardware, assignment: Assignment) -> Tiling:
    """The schedule that a member of the space stands for."""
    out, depth = form.names
    return Tiling(
        form,
        hardware,
        assignment[f"tile_{out}"] // BLOCK,
        assignment[f"tile_{depth}"] // BLOCK,
        AxisTiles(form.rows, assignment.get(f"tile_{form.rows.name}", 1)),
        AxisTiles(form.columns, assignment[f"tile_{form.columns.name}"]),
        assignment["load_slots"],
        assignment["store_slots"],
        assignment["order"],
        loop_pairs(form)[assignment["loops"]],
    )


def loop_pairs(form: Form) -> tuple[tuple[str, str], ...]:
    """What the two loops of a product's instruction can run over; the variable `loops` counts these.

    At least two are axes that are summed along, also where they have one turn: so all sums may be listed.
    """
    several = {axis for axis, most in zip(LOOP_AXES, _most(form), strict=True) if most > 1}
    summed = [axis for axis in LOOP_AXES if axis not in SPATIAL]
    fillers = sorted(summed, key=lambda axis: axis not in several)[:2]
    return tuple(itertools.combinations([axis for axis in LOOP_AXES if axis in several.union(fillers)], 2))


def _most(form: Form) -> Sequence[int]:
    """The largest extents of the loops in a tile."""
    channels = (blocks(form.channels_out, BLOCK), blocks(form.channels_in, BLOCK))
    taps = (form.rows.taps, form.columns.taps)
    return (channels[0], form.rows.result, max(2, form.columns.result), channels[1], *taps)


def _shares(extent: int) -> set[int]:
    """The sizes of equal parts, as few as there can be with so many parts."""
    return {-(-extent // parts) for parts in range(1, extent + 1)}


class _Draft:
    """Variables and constraints as they come to be."""

    def __init__(self, form: Form, hardware: Hardware) -> None:
        self._form, self._hardware = form, hardware
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []
        out, depth = form.names
        self._choose("load_slots", LOAD_SLOTS)
        self._choose("store_slots", STORE_SLOTS)
        self._choose("order", ORDERS)
        self._channels(out, form.channels_out)
        self._channels(depth, form.channels_in)
        self._pixels(form.rows)
        self._pixels(form.columns)
        self._buffers()
        self._micro_ops()
        self._program()

    def _choose(self, name: str, values: Sequence[int]) -> None:
        self.variables.append(Variable(name, Domain.of(*values)))

    def _product(self, name: str, *factors: Operand) -> str:
        self.variables.append(Variable(name))
        self.constraints.append(Prod(name, factors, name=name, rule=RULE))
        return name

    def _sum(self, name: str, *terms: Operand) -> str:
        self.variables.append(Variable(name))
        self.constraints.append(Sum(name, terms, name=name, rule=RULE))
        return name

    def _at_most(self, left: Operand, right: Operand, name: str, reason: str) -> None:
        self.constraints.append(Le(left, right, name=name, reason=reason, rule=RULE))

    def _channels(self, axis: str, extent: int) -> None:
        count = blocks(extent, BLOCK)
        tile = f"tile_{axis}"
        self._choose(tile, sorted(_shares(BLOCK * count) | {BLOCK * share for share in _shares(count)}))
        self._choose(f"blocks_{axis}", sorted(_shares(count)))
        self._choose(f"steps_{axis}", sorted({-(-count // share) for share in _shares(count)}))
        reason = f"the product takes {BLOCK} channels at once; the last ones are filled up with zeros"
        self.constraints += (
            Divides(BLOCK, tile, name=f"{tile}_block", reason=reason, rule=RULE),
            Prod(tile, (BLOCK, f"blocks_{axis}"), name=f"blocks_{axis}", rule=RULE),
            self._table(f"blocks_{axis}", {share: (-(-count // share),) for share in _shares(count)}, f"steps_{axis}"),
        )

    def _pixels(self, axis: Axis) -> None:
        if axis is self._form.rows and axis.result == 1:
            return
        sizes = _shares(axis.result)
        if axis is self._form.columns and axis.result < self._hardware.access:
            sizes.add(self._hardware.access)  # there may be no other accumulator to write in between
        rows = {size: (AxisTiles(axis, size).count, axis.needed(size)) for size in sizes}
        self._choose(f"tile_{axis.name}", sorted(sizes))
        self._choose(f"steps_{axis.name}", sorted({row[0] for row in rows.values()}))
        self._choose(f"input_{axis.name}", sorted({row[1] for row in rows.values()}))
        self.constraints.append(self._table(f"tile_{axis.name}", rows, f"steps_{axis.name}", f"input_{axis.name}"))

    def _table(self, name: str, rows: Mapping[int, tuple[int, ...]], *others: str) -> Table:
        values = tuple((value, *row) for value, row in rows.items())
        return Table((name, *others), values, name=f"{name}_table", rule=RULE)

    def _of_rows(self, what: str, otherwise: int) -> Operand:
        """A variable of the rows; there is none where there is one row."""
        axis = self._form.rows
        return otherwise if axis.result == 1 else f"{what}_{axis.name}"

    @property
    def _extents(self) -> dict[str, Operand]:
        """Of the loops inside of a tile."""
        form = self._form
        out, depth = form.names
        rows, columns = self._of_rows("tile", 1), f"tile_{form.columns.name}"
        extents = (f"blocks_{out}", rows, columns, f"blocks_{depth}", form.rows.taps, form.columns.taps)
        return dict(zip(LOOP_AXES, extents, strict=True))

    def _buffers(self) -> None:
        form, hardware = self._form, self._hardware
        out, depth = (f"tile_{name}" for name in form.names)
        self._product("input_bytes", depth, self._of_rows("input", form.rows.needed(1)), f"input_{form.columns.name}")
        self._product("weight_bytes", form.taps, out, depth)
        self._product("sum_bytes", 4, *self._pixel_tiles, out)
        self._product("input_buffered", "load_slots", "input_bytes")
        self._product("weight_buffered", "load_slots", "weight_bytes")
        self._product("sum_buffered", "store_slots", "sum_bytes")
        self._product("bias_bytes", 4 * form.biases, out)
        self._sum("accumulator_buffered", "sum_buffered", "bias_bytes")
        limits = {
            "input": (hardware.inputs * INPUT_BYTES, "all slots of inputs fit their buffer"),
            "weight": (hardware.weights * WEIGHT_BYTES, "all slots of weights fit their buffer"),
            "accumulator": (
                hardware.accumulators * ACCUMULATOR_BYTES,
                "sums in all slots, and biases, fit their buffer",
            ),
        }
        for name, (most, reason) in limits.items():
            self._at_most(f"{name}_buffered", most, f"{name}_buffer", reason)

    @property
    def _pixel_tiles(self) -> tuple[Operand, Operand]:
        return self._of_rows("tile", 1), f"tile_{self._form.columns.name}"

    def _micro_ops(self) -> None:
        pairs = loop_pairs(self._form)
        self._choose("loops", range(len(pairs)))
        listed = []
        for axis, extent in self._extents.items():
            self.variables.append(Variable(f"listed_{axis}"))
            options = tuple(1 if axis in pair else extent for pair in pairs)
            self.constraints.append(Select(f"listed_{axis}", "loops", options, name=f"listed_{axis}", rule=RULE))
            listed.append(f"listed_{axis}")
        self._product("micro_ops", *listed)
        self._at_most("micro_ops", self._hardware.micro_ops, "micro_op_buffer", "what loops do not run over is listed")
        spatial = self._product("listed_sums", *(f"listed_{axis}" for axis in SPATIAL))
        reason = "an accumulator is written every so many cycles at most: others come in between"
        self._at_most(self._hardware.access, spatial, "access_cycles", reason)

    def _program(self) -> None:
        form = self._form
        out, depth = form.names
        steps = (self._of_rows("steps", 1), f"steps_{form.columns.name}", f"steps_{out}")
        tiles = self._product("tiles", form.groups * form.images, *steps)
        tile_steps = self._product("steps", tiles, f"steps_{depth}")
        loads: Operand = 1 if form.rows.result == 1 and form.rows.extent == 1 else f"blocks_{depth}"
        each_step = self._sum("step_instructions", loads, _STEP_INSTRUCTIONS)
        stores = self._product("store_instructions", self._hardware.planes, f"blocks_{out}")
        others = _TILE_INSTRUCTIONS + 2 * (form.biases + len(form.epilogue) + self._hardware.planes)
        each_tile = self._sum("tile_instructions", stores, others)
        parts = (self._product("in_steps", tile_steps, each_step), self._product("in_tiles", tiles, each_tile))
        total = self._sum("instructions", *parts, 1)
        reason = "the runtime hands over a program of so many instructions at once"
        self._at_most(total, self._hardware.instructions, "program_size", reason)
