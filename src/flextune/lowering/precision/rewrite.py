"""A lowered model in bfloat16: values between kernels stored in half the bytes, products of matrices taken from them.

before:  lv = call_tir(conv, (x, const w, const b)) : float32;   y = call_tir(add, (lv, r)) : float32
after:   lv = call_tir(conv_16, (x, const w16, const b)) : uint16;   y = call_tir(add_16, (lv, r)) : float32

It works on kernels that are fused already, so that fusion, layout and algorithms are decided as for float32, and
everything inside a kernel but the products' factors stays float32.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from flextune.errors import UsageError
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.lowering.emit import substituted
from flextune.lowering.precision.bfloat16 import to_bfloat16
from flextune.lowering.precision.narrow import Narrowed, narrow_function
from flextune.lowering.precision.storage import Storage, storage_of
from flextune.lowering.regions import with_bodies
from flextune.tvm_types import (
    GlobalVariable,
    RelaxBinding,
    RelaxConstant,
    RelaxExpr,
    RelaxFunction,
    RelaxType,
    RelaxVar,
)
from flextune.workload.rounding import STORAGE


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A kernel of the model that holds products of matrices: its number among them, its name, what it computes."""

    number: int
    function: str
    variable: RelaxVar

    def __str__(self) -> str:
        return f"{self.number}:{self.function}"


def in_bfloat16(
    module: tvm.IRModule,
    entries: Sequence[str] = ("main",),
    keep: Collection[int] = (),
    wide: Collection[RelaxVar] = (),
    light_bytes: int = 0,
) -> tvm.IRModule:
    """Store values between kernels as bfloat16, and take products of matrices from it.

    In the Relax functions `entries`. `main` keeps its signature; other entries are parts of a model and exchange
    bfloat16, but for those of their inputs and results that are `wide`. `keep` are the numbers of the layers of `main`
    (see `product_layers`) that stay float32, as do products that are light by `light_bytes` (see
    `narrow.narrow_function`).
    """
    kept = _kept_variables(module, keep, light_bytes) if keep else set()
    straight = [name for name in entries if is_straight(module[name])]
    others = {name: function for name, function in module.functions_items() if name.name_hint not in straight}
    rewriter = _Rewriter(module, relax.BlockBuilder(tvm.IRModule(others)), kept, light_bytes)
    for name in straight:
        rewriter.rewrite(name, storage_of(module, name, kept, wide, inner=name != "main"))
    return relax.transform.DeadCodeElimination(with_bodies(module, entries))(rewriter.builder.get())


def product_layers(module: tvm.IRModule, light_bytes: int = 0) -> tuple[Layer, ...]:
    """The kernels of `main` whose products of matrices can be taken from bfloat16, in program order."""
    found: list[Layer] = []
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if is_call_tir(binding.value):
                name = binding.value.args[0].name_hint
                constants = _constants(binding.value.args[1].fields)
                narrowed = narrow_function(module[name], (), constants, light_bytes=light_bytes)
                if narrowed is not None and narrowed.products:
                    found.append(Layer(len(found), name, binding.var))
    return tuple(found)


def _kept_variables(module: tvm.IRModule, keep: Collection[int], light_bytes: int) -> set[RelaxVar]:
    """The results of the layers to keep; none where `main` is not there (parts of a model)."""
    is_whole = any(name.name_hint == "main" for name in module.get_global_vars())
    layers = product_layers(module, light_bytes) if is_whole else ()
    if layers and max(keep) >= len(layers):
        raise UsageError(f"there is no layer {max(keep)} to keep in float32: the model has {len(layers)}, from 0 on")
    return {layer.variable for layer in layers if layer.number in set(keep)}


def _constants(arguments: Sequence[RelaxExpr]) -> frozenset[int]:
    return frozenset(index for index, argument in enumerate(arguments) if is_constant(argument))


_Key = tuple[str, frozenset[int], frozenset[int], bool]


class _Rewriter:
    def __init__(
        self, module: tvm.IRModule, builder: relax.BlockBuilder, kept: Collection[RelaxVar], light_bytes: int
    ) -> None:
        self.module, self.builder, self.kept, self.light_bytes = module, builder, set(kept), light_bytes
        self._variants: dict[_Key, tuple[GlobalVariable, Narrowed] | None] = {}
        self._weights: dict[RelaxConstant, RelaxConstant] = {}

    def rewrite(self, name: str, storage: Storage) -> None:
        """Write Relax function `name` again, with the values of `storage` as bfloat16."""
        old = self.module[name]
        values = {variable: _parameter(variable, storage) for variable in old.params}
        with self.builder.function(name, list(values.values()), attrs=dict(old.attrs or {})):
            with self.builder.dataflow():
                for block in old.body.blocks:
                    for binding in block.bindings:
                        value = self._value(binding, values, storage)
                        values[binding.var] = self.builder.emit(value, str(binding.var.name))
                result = self.builder.emit_output(substituted(old.body.body, values))
            self.builder.emit_func_output(result)

    def _value(self, binding: RelaxBinding, values: dict[RelaxVar, RelaxExpr], storage: Storage) -> RelaxExpr:
        call = binding.value
        if not is_call_tir(call):
            return substituted(call, values)
        old, in_narrow = call.args[1].fields, binding.var in storage
        stored = {index for index, argument in enumerate(old) if argument in storage}
        stored |= {len(old)} if in_narrow else set()
        variant = self._variant(call.args[0], frozenset(stored), _constants(old), binding.var not in self.kept)
        arguments = [substituted(argument, values) for argument in old]
        if variant is None:
            return relax.call_tir(call.args[0], arguments, out_ty=_result_types(call.ty))
        name, narrowed = variant
        for index in narrowed.weights:
            arguments[index] = self._weight(arguments[index])
        out = relax.TensorType(call.ty.shape, STORAGE) if in_narrow else call.ty
        return relax.call_tir(name, arguments, out_ty=out)

    def _variant(
        self, name: GlobalVariable, stored: frozenset[int], constants: frozenset[int], products: bool
    ) -> tuple[GlobalVariable, Narrowed] | None:
        """The function with these parameters stored as bfloat16; None for the function as it is."""
        key = (name.name_hint, stored, constants, products)
        if key not in self._variants:
            narrowed = narrow_function(
                self.module[name], stored, constants, products=products, light_bytes=self.light_bytes
            )
            if narrowed is None or not (stored or narrowed.products):
                self._variants[key] = None
            else:
                function = narrowed.function.without_attr("global_symbol")
                self._variants[key] = (self.builder.add_func(function, name.name_hint), narrowed)
        return self._variants[key]

    def _weight(self, constant: RelaxConstant) -> RelaxConstant:
        """The constant as bfloat16; one that several kernels share stays one."""
        if constant not in self._weights:
            array: np.ndarray = np.from_dlpack(constant.value)
            self._weights[constant] = relax.const(to_bfloat16(array), STORAGE)
        return self._weights[constant]


def is_straight(function: RelaxFunction) -> bool:
    """Whether a Relax function is one sequence of bindings that can be written again."""
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    return not any(
        isinstance(binding, relax.MatchCast) or isinstance(binding.value, relax.If | relax.Function)
        for binding in bindings
    )


def _result_types(kind: RelaxType) -> RelaxType | list[RelaxType]:
    """The type of a kernel's result, or the types of its results, as `call_tir` takes them."""
    return list(kind.fields) if isinstance(kind, relax.TupleType) else kind


def _parameter(variable: RelaxVar, storage: Storage) -> RelaxVar:
    if variable not in storage:
        return variable
    return relax.Var(variable.name, relax.TensorType(variable.ty.shape, STORAGE))
