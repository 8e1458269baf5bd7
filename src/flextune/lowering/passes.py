"""The passes from operators in Relax to kernels, by name: what `--without` can switch off, and what not."""

from __future__ import annotations

import tvm

from flextune.importing.passes import Pass, about
from flextune.lowering.kernels import FOLD_WEIGHTS, branching_passes
from flextune.lowering.lower import BFLOAT16_PASSES, PASSES
from flextune.lowering.precision.rewrite import in_bfloat16

OPERATOR_PASSES: tuple[Pass[tvm.IRModule], ...] = (*PASSES, *BFLOAT16_PASSES)
"""On Relax operators, before a plan groups them, in the order they run."""

KERNEL_PASSES: tuple[Pass[tvm.IRModule], ...] = (
    FOLD_WEIGHTS,
    *branching_passes(),
    Pass("bfloat16", about(in_bfloat16), in_bfloat16, "--precision asks for it"),
)
"""On groups of operators, which become kernels, in the order they run. Not every model goes through all of them."""
