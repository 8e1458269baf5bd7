"""Kernels of a model that take each other's place, by the sizes of a run: an attribute of the first of them says it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from tvm import tirx

from flextune.apply.program import Scalar, Size, Step, TensorType, Variant
from flextune.tvm_types import PrimFunc
from flextune.workload.dim_expr import DimExpr

_VARIANTS = "flextune.variants"


def with_variants(function: PrimFunc, costs: Mapping[str, DimExpr]) -> PrimFunc:
    """The function with the names of those that may be called, itself first, and what each costs over its symbols."""
    return function.with_attr(_VARIANTS, json.dumps([[name, str(cost)] for name, cost in costs.items()]))


def variants_of(
    steps: Sequence[Step], tensors: Sequence[TensorType], functions: Mapping[str, PrimFunc]
) -> Iterator[Variant]:
    """What the steps may call, with costs over the sizes of the model."""
    for number, step in enumerate(steps):
        function = None if step.kernel is None else functions[step.kernel]
        if function is None or _VARIANTS not in (function.attrs or {}):
            continue
        sizes = sizes_in_call(function, step, tensors)
        for name, cost in json.loads(str(function.attrs[_VARIANTS])):
            yield Variant(number, name, DimExpr.parse(cost).substitute(sizes))


def sizes_in_call(function: PrimFunc, step: Step, tensors: Sequence[TensorType]) -> dict[str, Size]:
    """What the symbols of a kernel are in this call of it."""
    found: dict[str, Size] = {}
    for parameter, given in zip(function.params, step.parameters, strict=True):
        if isinstance(given, Scalar):
            found.setdefault(str(parameter.name), given.size)
            continue
        for extent, size in zip(parameter.ty.shape, tensors[given].shape, strict=True):
            if isinstance(extent, tirx.Var):
                found.setdefault(str(extent.name), size)
    return found
