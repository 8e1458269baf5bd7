"""Operators with symbolic sizes by their default schedules: right at all sizes, by each operator's NumPy reference."""

from __future__ import annotations

import itertools

import pytest

from flextune.aligned import aligned_copy
from flextune.lowering.symbolic_shapes import generic_sizes
from flextune.measure.output_check import poison
from flextune.platforms import platform_registry as platforms
from flextune.platforms.cpu.tvm_kernel import TvmKernel
from flextune.platforms.symbolic_kernels import scheduled_by_default
from flextune.target.target import Target
from flextune.workload.symbolic_workload import SymbolicWorkload

TEXTS = (
    "gemm:m=1..40,n=1..40,k=1..40",
    "gemm:m=1..64,n=48,k=20,dtype=uint8,weights=constant",
    "bmm:b=1..3,m=1..20,n=1..20,k=16,tb=1",
    "gemv:m=1..40,k=1..40",
    "softmax:rows=1..40,cols=1..100,dtype=bfloat16",
    "layer_norm:rows=1..40,cols=1..100",
    "reduce:op=argmax,m=1..40,n=1..40",
    "reduce:op=variance,m=2..40,n=1..40,axis=0",
    "conv2d:n=1..3,h=4..20,w=4..20,ci=4,co=8,kh=3,kw=3,pad=1,stride=2,layout=nhwc,weights=constant,epilogue=bias+relu",
    "conv1d:n=1..3,w=3..40,ci=4,co=8,kw=3,pad=1,groups=2",
    "depthwise:n=1..2,h=4..20,w=4..20,c=8,kh=3,kw=3,pad=1,layout=nhwc",
    "pool2d:kind=avg,n=1..2,h=4..20,w=4..20,c=8,kh=3,kw=3,pad=1",
)


@pytest.mark.parametrize("text", TEXTS)
def test_one_kernel_is_right_at_all_sizes(text: str, target: Target) -> None:
    symbolic = SymbolicWorkload.parse(text)
    sizes = generic_sizes({dim.name: (dim.lo, dim.hi) for dim in symbolic.dims})
    constants = symbolic.bind({dim.name: dim.hi for dim in symbolic.dims}).constants
    _, program = scheduled_by_default(symbolic.prim_func(), sizes, constants, target)
    kernel = TvmKernel(platforms.compiler(target.kind).compile(program.module, target).jit(), program.packs)
    choices = [sorted({dim.lo, 7, 16, 17, dim.hi}.intersection(dim.sizes)) for dim in symbolic.dims]
    combinations = list(itertools.product(*choices))
    for sizes_now in combinations[:: max(1, len(combinations) // 5)]:
        static = symbolic.bind(dict(zip((dim.name for dim in symbolic.dims), sizes_now, strict=True)))
        inputs = [aligned_copy(array) for array in static.random_inputs(1)]
        references = static.reference(inputs)
        outputs = [
            aligned_copy(poison(each, spec.element)) for each, spec in zip(references, static.outputs, strict=True)
        ]
        kernel.bind(inputs, outputs)
        kernel.run()
        for spec, output, reference in zip(static.outputs, outputs, references, strict=True):
            decode = spec.element.decode
            assert static.tolerance().accepts(decode(output), decode(reference)), sizes_now
