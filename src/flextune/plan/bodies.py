"""Bodies of loops and branches, planned and lowered as models of their own; the model around them calls the outcome."""

from __future__ import annotations

from collections.abc import Collection

import tvm
from tvm import relax

from flextune.lowering.estimator import Estimator
from flextune.lowering.kernels import LoweredKernels
from flextune.lowering.regions import REGION, body_names, with_body
from flextune.lowering.symbolic_shapes import Sizes
from flextune.plan.fusion.switcher import FusionSwitcher
from flextune.tvm_types import IRModule


def with_planned_bodies(
    module: IRModule,
    kernels: LoweredKernels,
    without: Collection[str] = (),
    estimator: Estimator | None = None,
    sizes: Sizes | None = None,
) -> IRModule:
    """The module with the operators of all bodies grouped as the plan has them, and as PrimFuncs.

    Bodies are computed as the plan has it by default: the alternatives of their groups are not searched.
    """
    names = body_names(module)
    plain = {name: function for name, function in module.functions_items() if name.name_hint not in names}
    for name in names:
        body = module[name]
        alone = tvm.IRModule({each: function for each, function in plain.items() if each.name_hint != "main"})
        alone.update_func(tvm.ir.GlobalVar("main"), _as_main(body))
        switcher = FusionSwitcher.of(alone, without, estimator, sizes)
        assert switcher is not None  # branches are regions too
        module = with_body(module, name, kernels.lower(switcher.module({})), str(body.attrs[REGION]))
    return module


def _as_main(body: relax.Function) -> relax.Function:
    return body.without_attr(REGION).with_attr("global_symbol", "main")
