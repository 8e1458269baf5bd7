"""Putting scheduled functions into a lowered model: calls redirected, constant weights packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from flextune.analysis.moves import described, move_of
from flextune.apply.kernel_names import kernel_name, of_workload
from flextune.apply.kernel_variants import with_variants
from flextune.errors import ScheduleError
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.lowering.mutation import mutated
from flextune.lowering.regions import with_bodies
from flextune.schedule.packing import PackedInput
from flextune.tvm_types import PrimFunc
from flextune.workload.dim_expr import DimExpr

SCHEDULED = "tirx.is_scheduled"
"""Tells TVM's default schedules to leave a function alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """A scheduled PrimFunc, and which of its constant arguments it expects packed."""

    function: Any
    packs: tuple[PackedInput, ...] = ()
    workload_key: str | None = None
    """Of the workload that it is a kernel of, if it is one's."""
    variants: tuple[tuple[PrimFunc, DimExpr], ...] = ()
    """Functions that take its place, each with what it costs over its symbols; `function` is the first of them."""


def replace_functions(module: tvm.IRModule, replacements: Mapping[str, Replacement]) -> tvm.IRModule:
    """A module whose calls of the named functions go to their replacements; functions without one stay.

    before: y = call_tir(conv, (x, const w))   -->   after: y = call_tir(conv_scheduled, (x, const pack(w)))
    """
    rewriter = _Rewriter(module, replacements)
    used = relax.transform.DeadCodeElimination(with_bodies(module, ["main"]))(mutated(module, rewriter))
    for name, function in rewriter.variants.items():  # which nothing calls by name
        used.update_func(tvm.ir.GlobalVar(name), function)
    return used


@relax.expr_functor.mutator
class _Rewriter(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, module: tvm.IRModule, replacements: Mapping[str, Replacement]) -> None:
        super().__init__(module)
        self._module = module
        self._replacements = replacements
        self.variants: dict[str, PrimFunc] = {}
        self._variables: dict[int, Any] = {}
        self._packed: dict[tuple[int, tuple[int, ...], PackedInput], Any] = {}

    def visit_call_(self, call: Any) -> Any:
        call = self.visit_expr_post_order(call)
        replacement = self._replacements.get(call.args[0].name_hint) if is_call_tir(call) else None
        if replacement is None:
            return call
        packs = {pack.index: pack for pack in replacement.packs}
        arguments = [
            self._in_form(argument, packs[index]) if index in packs else argument
            for index, argument in enumerate(call.args[1].fields)
        ]
        return relax.call_tir(self._variable(call.args[0].name_hint, replacement), arguments, out_ty=output_types(call))

    def _in_form(self, constant: Any, pack: PackedInput) -> Any:
        """The packed constant, the same for all calls that expect it so."""
        if not is_constant(constant):
            raise ScheduleError(f"the schedule packs input {pack.index}, which is not a constant here")
        form = replace(pack, index=0)  # whichever input it is
        key = (int(constant.value.data_ptr()), constant.value.shape, form)
        if key not in self._packed:
            array: np.ndarray = np.from_dlpack(constant.value)  # a view: large weights are not copied
            self._packed[key] = relax.const(pack.pack(array), pack.dtype)
        return self._packed[key]

    def _variable(self, name: str, replacement: Replacement) -> Any:
        """The replacement's variable in the new module; equal functions of one task share it."""
        if id(replacement) not in self._variables:
            called = f"{name}_scheduled"
            if replacement.workload_key is not None:
                called = kernel_name(name, replacement.workload_key)
            function = self._finished(name, replacement, replacement.function)
            variable = self._variables[id(replacement)] = self.builder_.add_func(function, called)
            if replacement.variants:
                others = [self._finished(name, replacement, other) for other, _ in replacement.variants[1:]]
                names = [f"{variable.name_hint}_variant{number}" for number in range(1, len(replacement.variants))]
                costs = [cost for _, cost in replacement.variants]
                named = dict(zip((variable.name_hint, *names), costs, strict=True))
                self.builder_.update_func(variable, with_variants(function, named))
                self.variants |= zip(names, others, strict=True)
        return self._variables[id(replacement)]

    def _finished(self, name: str, replacement: Replacement, function: PrimFunc) -> PrimFunc:
        scheduled = function.without_attr("global_symbol").with_attr(SCHEDULED, True)
        finished = described(scheduled, move_of(self._module[name]))
        return finished if replacement.workload_key is None else of_workload(finished, replacement.workload_key)


def output_types(call: Any) -> Any:
    """The type of each output of a `call_tir`."""
    return list(call.ty.fields) if isinstance(call.ty, relax.TupleType) else call.ty
