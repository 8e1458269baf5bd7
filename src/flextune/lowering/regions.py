"""Loops and branches in Relax: calls by name, which everything between the import and the runtime leaves alone.

    r = call_dps_packed("loop0", (h, x, w))          # in main
    def loop0_body(h, x, w): ...                     # attribute flextune.region: the text of a `LoopForm`
    s = call_dps_packed("branch1", (condition, x))
    def branch1_then(x): ...
    def branch1_else(x): ...

The bodies are planned, lowered and scheduled as `main` is; their kernels are the model's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import tvm
import tvm_ffi
from tvm import relax

from flextune.importing.regions import UNLIMITED, LoopForm
from flextune.lowering.calls import call_sites_of
from flextune.tvm_types import IRModule, RelaxExpr

REGION = "flextune.region"
"""The attribute of a body: the form of its loop, or nothing."""
BODY, THEN, ELSE = "body", "then", "else"
UNKNOWN_ITERATIONS = 16
"""What a loop is taken for whose number of iterations is not known before it runs."""


def region_of(value: RelaxExpr) -> str | None:
    """The name of the loop or branch that a bound value is a call of; None for anything else."""
    if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") == "relax.call_dps_packed":
        return str(value.args[0].global_symbol) if isinstance(value.args[0], relax.ExternFunc) else None
    return None


def bodies_of(module: IRModule, name: str) -> tuple[str, ...]:
    """The names of the functions of a region: of a loop its body, of a branch what is done if true, and otherwise."""
    known = {variable.name_hint for variable in module.get_global_vars()}
    return tuple(body for body in (f"{name}_{part}" for part in (BODY, THEN, ELSE)) if body in known)


def form_of(module: IRModule, name: str) -> LoopForm | None:
    """How a loop uses its arguments; None for a branch."""
    text = str(module[bodies_of(module, name)[0]].attrs[REGION])
    return LoopForm.parse(text) if text else None


def iterations_of(form: LoopForm | None) -> int:
    """How often a body is taken to run where its region runs once."""
    if form is None:
        return 1
    return form.limit if isinstance(form.limit, int) and form.limit != UNLIMITED else UNKNOWN_ITERATIONS


def body_names(module: IRModule) -> tuple[str, ...]:
    """All functions of the module that are bodies of loops and branches."""
    return tuple(
        variable.name_hint
        for variable, function in module.functions_items()
        if isinstance(function, relax.Function) and function.attrs is not None and REGION in function.attrs
    )


def has_regions(module: IRModule) -> bool:
    return bool(body_names(module))


def with_bodies(module: IRModule, entries: Sequence[str]) -> list[str]:
    """The entries of a module, and all bodies: what must stay when dead code is removed."""
    return list(dict.fromkeys((*entries, *body_names(module))))


def with_body(module: IRModule, name: str, part: IRModule, attribute: str) -> IRModule:
    """The module with `main` of another one as a body of a region, and with all that this calls.

    PrimFuncs get names that the module does not have yet; bodies of regions inside keep theirs.
    """
    builder = relax.BlockBuilder(module)
    inner = body_names(part)
    renamed = {
        variable.name_hint: builder.add_func(function, variable.name_hint)
        for variable, function in part.functions_items()
        if variable.name_hint not in ("main", *inner)
    }
    module = builder.get()
    for each, kept in ((name, "main"), *((each, each) for each in inner)):
        function = tvm_ffi.structural_map(
            part[kept], (tvm.ir.GlobalVar, lambda variable: renamed.get(variable.name_hint, variable))
        )
        text = attribute if kept == "main" else str(function.attrs[REGION])
        function = function.with_attr({REGION: text, "global_symbol": each})
        module[each] = function
    return module


def kernel_counts(module: IRModule) -> Counter[str]:
    """How often a run calls each PrimFunc: those in a body of a loop as often as it iterates."""
    counts: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    waiting = [("main", 1)]
    while waiting:
        name, times = waiting.pop()
        runs[name] += times
        for region in _regions_in(module, name):
            form = form_of(module, region)
            waiting += [(body, times * iterations_of(form)) for body in bodies_of(module, region)]
    for name, times in runs.items():
        for site in call_sites_of(module, name):
            counts[site.function] += times
    return counts


def _regions_in(module: IRModule, name: str) -> list[str]:
    values = (binding.value for block in module[name].body.blocks for binding in block.bindings)
    return [region for value in values if (region := region_of(value)) is not None]
