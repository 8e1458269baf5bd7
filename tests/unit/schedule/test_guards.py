from __future__ import annotations

import numpy as np
import pytest
import tvm

from flextune.csp import In
from flextune.platforms import platform_registry as platforms
from flextune.platforms.symbolic_kernels import applied, space_at
from flextune.target.detect import detect
from flextune.workload.symbolic_workload import SymbolicWorkload


@pytest.mark.parametrize("columns", ["n=48", "n=1..80"])
def test_a_tensor_intrinsic_takes_tiles_of_which_the_last_core_has_fewer(columns: str) -> None:
    """Products of bytes whose shares are several tiles long, at rows that fill none, some and all of a share."""
    target = detect()
    if not target.has("vnni"):
        pytest.skip("this processor has no instruction for products of bytes")
    workload = SymbolicWorkload.parse(f"gemm:m=1..64,{columns},k=20,dtype=uint8")
    function = workload.prim_func().with_attr("global_symbol", "main")
    sizes = {dim.name: 48 for dim in workload.dims}
    space = space_at(function, sizes, (), target)
    chosen = space.most_promising(In("cache_i", (2, 3, 4)))
    assert chosen is not None
    program = applied(function, sizes, space.trace, chosen, (), target)
    assert "vpdpbusd" in program.module.script()
    kernel, rng = platforms.compiler(target.kind).compile(program.module, target).jit(), np.random.default_rng(0)
    for m in (1, 5, chosen["tile_i"], 17, 37, 64):
        n = 48 if columns == "n=48" else 1 + m
        a, b = rng.integers(0, 256, (m, 20)).astype(np.uint8), rng.integers(-128, 128, (20, n)).astype(np.int8)
        result = tvm.runtime.empty((m, n), "int32")
        kernel["main"](tvm.runtime.tensor(a), tvm.runtime.tensor(b), result)
        np.testing.assert_array_equal(result.numpy(), a.astype(np.int32) @ b.astype(np.int32))
