"""Kernels in Ascend C: a text of `kernels/`, after the constants that a schedule gives it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flextune.csp.assignment import Assignment
from flextune.platforms.ascend.emulation.emulator import ENTRY
from flextune.platforms.ascend.form import Product, Rows

_FOLDER = Path(__file__).with_name("kernels")


def source_of(form: Product | Rows, assignment: Assignment) -> str:
    """A file for CANN's compiler, or for the emulation."""
    constants = _product(form, assignment) if isinstance(form, Product) else _rows(form, assignment)
    lines = [f"constexpr {_type(value)} {name} = {_literal(value)};" for name, value in constants.items()]
    name = "product" if isinstance(form, Product) else "rows"
    return "\n".join(['#include "kernel_operator.h"', "", *lines, "", _text(name)])


def emulated_source(form: Product | Rows, assignment: Assignment) -> str:
    """A kernel, and the function that the emulation calls with an array of addresses; what is missing is zero."""
    if isinstance(form, Product):
        call = f"flextune_product(at[0], at[1], {'at[2]' if form.has_bias else '0'}, at[{2 + form.has_bias}])"
    elif form.operator == "layer_norm":
        call = "flextune_rows(at[0], at[1], at[2], at[3])"
    else:
        call = "flextune_rows(at[0], 0, 0, at[1])"
    return f'{source_of(form, assignment)}\nextern "C" void {ENTRY}(uint8_t **at) {{ {call}; }}\n'


def _product(form: Product, assignment: Assignment) -> Mapping[str, int | bool | float]:
    part = assignment["part_k"]
    return {
        "M": form.m,
        "N": form.n,
        "K": form.k,
        "TILE_M": assignment["tile_m"],
        "TILE_N": assignment["tile_n"],
        "PART_K": part,
        "PANEL_K": part * assignment["parts"],
        "SLOTS": assignment["sum_slots"],
        "TA": form.ta,
        "TB": form.tb,
        "BIAS": form.has_bias,
        "RELU": form.has_relu,
    }


def _rows(form: Rows, assignment: Assignment) -> Mapping[str, int | bool | float]:
    return {
        "ROWS": form.rows,
        "COLUMNS": form.columns,
        "PITCH": form.pitch,
        "AT_ONCE": assignment["at_once"],
        "DEPTH": assignment["depth"],
        "LAYER_NORM": form.operator == "layer_norm",
        "EPSILON": form.epsilon,
    }


def _type(value: int | bool | float) -> str:
    if isinstance(value, bool):
        return "bool"
    return "uint32_t" if isinstance(value, int) else "float"


def _literal(value: int | bool | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f"{value!r}f"


@cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.cpp").read_text(encoding="utf-8")
