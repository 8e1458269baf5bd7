"""The schedules of a kernel on an Ascend processor: tiles and slots, with the sizes of its memories as constraints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp import Constraint, Domain, Le, Lt, Problem, Prod, Sum, Variable
from flextune.csp.constraint import Operand
from flextune.platforms.ascend.form import FLOAT_BYTES, FRACTAL, HALF_BYTES, LINE_BYTES, Product, Rows, filled, form_of
from flextune.schedule.space import Columns, SearchSpace, promising_space
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.workload import Workload

RULE = "ascend"
_PARTS = (1, 2, 3, 4, 6, 8, 16)
_MOST_ROWS = 4095
"""That one copy takes."""
_START, _RATE = 30.0, 64.0
"""Cycles until a copy from memory begins, and bytes a cycle then, as in the emulation."""


def ascend_space(workload: Workload, target: Target) -> SearchSpace:
    """Raises `UsageError` for what is not computed, `InfeasibleError` where nothing fits the memories."""
    form = form_of(workload)
    draft = _product_draft(form, target) if isinstance(form, Product) else _rows_draft(form, target)
    problem = Problem(tuple(draft.variables), tuple(draft.constraints))

    def promise(columns: Columns) -> npt.NDArray[np.float64]:
        cycles = _product_cycles(form, target, columns) if isinstance(form, Product) else _rows_cycles(form, columns)
        return 1 / cycles

    return promising_space(workload, target, Trace(()), problem, (RULE,), (promise,))


class _Draft:
    """Variables and constraints as they come to be."""

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []

    def choose(self, name: str, values: Sequence[int]) -> str:
        self.variables.append(Variable(name, Domain.of(*values)))
        return name

    def product(self, name: str, *factors: Operand) -> str:
        self.variables.append(Variable(name))
        self.constraints.append(Prod(name, factors, name=name, rule=RULE))
        return name

    def sum(self, name: str, *terms: Operand) -> str:
        self.variables.append(Variable(name))
        self.constraints.append(Sum(name, terms, name=name, rule=RULE))
        return name

    def at_most(self, left: Operand, right: int, name: str, reason: str) -> None:
        self.constraints.append(Le(left, right, name=name, reason=reason, rule=RULE))


def _product_draft(form: Product, target: Target) -> _Draft:
    draft = _Draft()
    draft.choose("tile_m", _tiles(form.m))
    draft.choose("tile_n", _tiles(form.n))
    draft.choose("part_k", _tiles(form.k))
    draft.choose("parts", _PARTS)
    draft.choose("sum_slots", (1, 2))
    draft.product("a_part", 2 * HALF_BYTES, "tile_m", "part_k")
    draft.product("b_part", 2 * HALF_BYTES, "tile_n", "part_k")
    draft.product("sums", FLOAT_BYTES, "sum_slots", "tile_m", "tile_n")
    draft.product("a_panel", "a_part", "parts")
    draft.product("b_panel", "b_part", "parts")
    draft.product("biases", FLOAT_BYTES * form.has_bias, "tile_n")
    draft.sum("panels", "a_panel", "b_panel", "biases")
    draft.at_most("a_part", target.number("l0a"), "l0a_bytes", "two parts of A fit L0A")
    draft.at_most("b_part", target.number("l0b"), "l0b_bytes", "two parts of B fit L0B")
    draft.at_most("sums", target.number("l0c"), "l0c_bytes", "the sums of all slots fit L0C")
    draft.at_most("panels", target.number("l1"), "l1_bytes", "two panels of A and B, and biases, fit L1")
    if form.has_bias:
        draft.at_most("biases", target.number("bias"), "bias_bytes", "the biases of a tile fit the bias table")
    draft.product("panel_k", "part_k", "parts")
    longest = draft.sum("k_and_part", filled(form.k, FRACTAL), "part_k")
    reason = "a panel is not longer than the sum, filled up to parts"
    draft.constraints.append(Lt("panel_k", longest, name="panel_length", reason=reason, rule=RULE))
    return draft


def _rows_draft(form: Rows, target: Target) -> _Draft:
    draft = _Draft()
    powers = [1 << power for power in range(_MOST_ROWS.bit_length())]
    shares = {-(-form.rows // parts) for parts in range(1, form.rows + 1)} if form.rows <= _MOST_ROWS else set()
    draft.choose("at_once", sorted({each for each in {*powers, *shares} if each <= min(form.rows, _MOST_ROWS)}))
    draft.choose("depth", (1, 2))
    row = form.pitch * FLOAT_BYTES
    draft.product("row_bytes", 2 * row, "at_once", "depth")
    work = filled(-(-form.columns // 64) * LINE_BYTES, LINE_BYTES)
    kept = work + LINE_BYTES + (3 * row if form.operator == "layer_norm" else 0)
    draft.sum("buffered", "row_bytes", kept)
    draft.at_most("buffered", target.number("ub"), "ub_bytes", "rows that come and go, and what helps, fit the buffer")
    return draft


def _tiles(extent: int) -> tuple[int, ...]:
    """Of equal parts, as few as there can be, in whole fractals."""
    count = filled(extent, FRACTAL) // FRACTAL
    return tuple(sorted({FRACTAL * -(-count // parts) for parts in range(1, count + 1)}))


def _product_cycles(form: Product, target: Target, columns: Columns) -> npt.NDArray[np.float64]:
    """About how long the busiest core works; only says what is tried first."""
    tile_m, tile_n, part, panel = (columns[name] for name in ("tile_m", "tile_n", "part_k", "panel_k"))
    tiles = -(-form.m // tile_m) * -(-form.n // tile_n)
    turns = -(-tiles // target.number("cores"))
    panels, depth = -(-form.k // panel), filled(form.k, FRACTAL)
    parts = -(-depth // part)
    multiply = parts * 8 + (tile_m // FRACTAL) * (tile_n // FRACTAL) * (depth // FRACTAL)
    load = 2 * _START * panels + (tile_m + tile_n) * depth * HALF_BYTES / _RATE
    move = parts * (tile_m // FRACTAL + part // FRACTAL) * 2 + (tile_m + tile_n) * depth * HALF_BYTES / 256
    store = _START + tile_m * tile_n * HALF_BYTES / _RATE
    alone = np.where(columns["sum_slots"] == 1, store, 0)
    first = load / panels + move / parts
    shared = tiles * (load - 2 * _START * panels) * _RATE / target.number("rate")
    longest = np.maximum.reduce([multiply + alone, load, move, store])
    return np.asarray(np.maximum(first + turns * longest + store, shared), dtype=np.float64)


def _rows_cycles(form: Rows, columns: Columns) -> npt.NDArray[np.float64]:
    """Copies of one group at a time; the slower one where they go beside each other."""
    at_once = columns["at_once"]
    groups = -(-form.rows // at_once)
    moved = _START + at_once * form.columns * FLOAT_BYTES / _RATE
    computed = at_once * (40 + 8 * form.pitch * FLOAT_BYTES / 256)
    together = np.where(columns["depth"] == 1, 2 * moved + computed, np.maximum(moved, computed))
    return np.asarray(groups * together + moved, dtype=np.float64)
