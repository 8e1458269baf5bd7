"""Reading the Relax `main` of a lowered model: which PrimFunc is called where, and with which constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from flextune.errors import ModelError
from flextune.tvm_types import RelaxBody, RelaxExpr, RelaxType, RelaxVar


@dataclass(frozen=True, slots=True, eq=False)
class CallSite:
    """One `call_tir` binding: the variable it defines, the called function's name, and its arguments."""

    variable: RelaxVar
    function: str
    arguments: tuple[RelaxExpr, ...]

    @property
    def constants(self) -> frozenset[int]:
        """Positions of the arguments that are Relax constants."""
        return frozenset(index for index, argument in enumerate(self.arguments) if is_constant(argument))


def call_sites(module: tvm.IRModule) -> tuple[CallSite, ...]:
    """Every `call_tir` of every Relax function, in program order."""
    functions = (function for _, function in module.functions_items() if isinstance(function, relax.Function))
    return tuple(site for function in functions for site in _sites_of(function.body))


def call_sites_of(module: tvm.IRModule, name: str) -> tuple[CallSite, ...]:
    """Every `call_tir` of one Relax function, in program order."""
    return tuple(_sites_of(module[name].body))


def results_of(body: RelaxBody) -> tuple[RelaxExpr, ...]:
    """What a Relax function or branch gives: one value, or those of a tuple."""
    bound = {binding.var: binding.value for block in body.blocks for binding in block.bindings}
    result = body.body
    while isinstance(result, relax.Var) and isinstance(bound.get(result), relax.Var | relax.Tuple):
        result = bound[result]
    return tuple(result.fields) if isinstance(result, relax.Tuple) else (result,)


def check_element_types(module: tvm.IRModule, sites: Iterable[CallSite], model: str) -> None:
    """Raise ModelError where a kernel reads or writes other elements than its call has: TVM makes some such.

    They would be read as other numbers, or written beyond their memory.
    """
    for site in sites:
        for kind, parameter in zip(argument_types(site), module[site.function].params, strict=False):
            declared, used = (str(getattr(each, "dtype", "")) for each in (kind, parameter.ty))
            if declared and used and declared != used:
                raise ModelError(
                    f"model {model!r}: TVM has {site.function} compute in {used} where {declared} is meant"
                )


def argument_types(site: CallSite) -> list[RelaxType]:
    """The types of what a call is given, outputs last."""
    result = site.variable.ty
    outputs = result.fields if isinstance(result, relax.TupleType) else [result]
    return [*(argument.ty for argument in site.arguments), *outputs]


def is_call_tir(value: RelaxExpr) -> bool:
    """Whether a bound value is a `call_tir` of a function of the module."""
    return isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") == "relax.call_tir"


def is_constant(value: RelaxExpr) -> bool:
    """Whether an argument is a tensor whose value is known at compile time."""
    return isinstance(value, tvm.ir.GenericConst)


def constant_array(value: RelaxExpr) -> np.ndarray | None:
    """The elements of a tensor whose value is known at compile time, without a copy; None for any other value."""
    return np.from_dlpack(value.value) if is_constant(value) else None


def _sites_of(body: RelaxBody) -> Iterator[CallSite]:
    for block in body.blocks:
        for binding in block.bindings:
            value = binding.value
            if isinstance(value, relax.If):
                yield from _sites_of(value.true_branch)
                yield from _sites_of(value.false_branch)
            elif is_call_tir(value):
                yield CallSite(binding.var, value.args[0].name_hint, tuple(value.args[1].fields))
