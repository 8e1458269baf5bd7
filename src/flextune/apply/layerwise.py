"""A model run kernel by kernel, each layer in float32 or from bfloat16 as asked: what a choice costs, without a build.

Values travel as float32; where the built model would store bfloat16 they are rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from flextune.aligned import aligned_empty
from flextune.errors import UsageError
from flextune.lowering.calls import CallSite, call_sites_of, is_constant
from flextune.lowering.precision.bfloat16 import from_bfloat16, to_bfloat16
from flextune.lowering.precision.narrow import narrow_function
from flextune.lowering.precision.precision import Precision
from flextune.lowering.precision.rewrite import is_straight
from flextune.lowering.precision.storage import storage_of
from flextune.lowering.regions import has_regions
from flextune.plan.partition import Partition
from flextune.platforms import platform_registry as platforms
from flextune.platforms.base import Array, Kernel
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.tir import from_prim_func
from flextune.workload.workload import Workload

_Value = np.ndarray | tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _CallForm:
    """One way to compute a call: its workload, and which inputs and whether the output are bfloat16."""

    workload: Workload
    narrow: frozenset[int]
    narrow_output: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One call: by float32, and (None where that is the same) from bfloat16; `layer` numbers those with products."""

    site: CallSite
    wide: _CallForm
    narrow: _CallForm | None
    layer: int | None


class LayerwiseModel:
    """A float32 partition of a model that can be run with any of its layers in bfloat16. UsageError for a model that
    branches or has kernels that are no workloads.
    """

    def __init__(self, partition: Partition, target: Target) -> None:
        module = partition.module
        if not is_straight(module["main"]) or has_regions(module) or partition.fallbacks:
            raise UsageError(f"{partition.model.name}: layers cannot be chosen in a model that branches")
        self.partition = partition
        self.light_bytes = Precision("bfloat16").of(partition.model.weight_bytes).light_bytes
        steps = {step.site.variable: step for step in _steps(module, self.light_bytes)}
        bindings = [binding for block in module["main"].body.blocks for binding in block.bindings]
        self._program = [(binding.var, steps.get(binding.var, binding.value)) for binding in bindings]
        self.layers = tuple(step.layer for step in steps.values() if step.layer is not None)
        self._kernels = _build(
            [v for step in steps.values() for v in (step.wide, step.narrow) if v is not None], target
        )
        self._bound: dict[int, tuple[Kernel, list[Array], Array]] = {}

    def run(self, inputs: Mapping[str, np.ndarray], keep: Collection[int] | None) -> dict[str, np.ndarray]:
        """The outputs with the layers `keep` in float32 and all others in bfloat16; None for all in float32."""
        main = self.partition.module["main"]
        specs = self.partition.model.inputs
        values: dict[Any, _Value] = {
            variable: inputs[spec.name] for variable, spec in zip(main.params, specs, strict=True)
        }
        for variable, step in self._program:
            if isinstance(step, _Step):
                wide = keep is None or step.narrow is None or step.layer in keep
                chosen = step.wide if wide or step.narrow is None else step.narrow
                values[variable] = self._call(step.site, chosen, values)
            else:
                values[variable] = _value(step, values)
        returned = _value(main.body.body, values)
        outputs = returned if isinstance(returned, tuple) else (returned,)
        return {name: np.asarray(array) for name, array in zip(self.partition.model.outputs, outputs, strict=True)}

    def _call(self, site: CallSite, form: _CallForm, values: Mapping[Any, _Value]) -> np.ndarray:
        kernel, inputs, output = self._binding(site, form)
        for index, (argument, array) in enumerate(zip(site.arguments, inputs, strict=True)):
            if not is_constant(argument):
                value = np.asarray(_value(argument, values))
                np.copyto(array, to_bfloat16(value) if index in form.narrow else value)
        kernel.run()
        return from_bfloat16(output) if form.narrow_output else output.copy()

    def _binding(self, site: CallSite, form: _CallForm) -> tuple[Kernel, list[Array], Array]:
        """A kernel of this call alone, bound once: constants are packed then."""
        if id(form) not in self._bound:
            kernel = copy.copy(self._kernels[form.workload])
            inputs = [
                _aligned(_constant(argument, index in form.narrow), spec.shape, spec.dtype)
                for index, (argument, spec) in enumerate(zip(site.arguments, form.workload.inputs, strict=True))
            ]
            (spec,) = form.workload.outputs
            output = _aligned(None, spec.shape, spec.dtype)
            kernel.bind(inputs, [output])
            self._bound[id(form)] = (kernel, inputs, output)
        return self._bound[id(form)]


def _steps(module: tvm.IRModule, light_bytes: int) -> list[_Step]:
    storage, steps, layers = storage_of(module, "main", inner=False), [], 0
    for site in call_sites_of(module, "main"):
        function, outputs = module[site.function], len(site.arguments)
        stored = frozenset(i for i, argument in enumerate(site.arguments) if argument in storage)
        stored |= {outputs} if site.variable in storage else set()
        narrowed = narrow_function(function, stored, site.constants, light_bytes=light_bytes)
        has_products = narrowed is not None and narrowed.products > 0
        narrow = None
        if narrowed is not None and (stored or has_products):
            workload = from_prim_func(narrowed.function, "layer", tuple(site.constants))
            narrow = _CallForm(workload, (stored | narrowed.weights) - {outputs}, outputs in stored)
        wide = _CallForm(from_prim_func(function, "layer", tuple(site.constants)), frozenset(), narrow_output=False)
        steps.append(_Step(site, wide, narrow, layers if has_products else None))
        layers += has_products
    return steps


def _build(forms: Sequence[_CallForm], target: Target) -> dict[Workload, Kernel]:
    platform = platforms.get(target.kind)
    workloads = list(dict.fromkeys(form.workload for form in forms))
    spaces = [platform.search_space(workload, target) for workload in workloads]
    candidates = [Candidate(space.workload, target, space.trace, space.default) for space in spaces]
    kernels = map(platform.load, platform.build(candidates))
    return dict(zip(workloads, kernels, strict=True))


def _value(expression: Any, values: Mapping[Any, _Value]) -> _Value:
    """Of an expression that computes nothing: a name, a constant, a tuple or a part of one."""
    if isinstance(expression, relax.Tuple):
        return tuple(np.asarray(_value(field, values)) for field in expression.fields)
    if isinstance(expression, relax.TupleGetItem):
        part: np.ndarray = _value(expression.tuple_value, values)[expression.index]
        return part
    if is_constant(expression):
        return np.asarray(np.from_dlpack(expression.value))
    return values[expression]


def _constant(argument: Any, narrow: bool) -> np.ndarray | None:
    if not is_constant(argument):
        return None
    array: np.ndarray = np.from_dlpack(argument.value)
    return to_bfloat16(array) if narrow else array


def _aligned(values: np.ndarray | None, shape: Sequence[int], dtype: str) -> Array:
    """An aligned array with these values, or zeros."""
    array: Array = aligned_empty(shape, dtype, zeros=values is None)
    if values is not None:
        np.copyto(array, values)
    return array
