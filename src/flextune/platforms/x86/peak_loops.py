"""The loops of `peak_kernels`, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flextune.platforms.x86.kind import llvm_attributes
from flextune.platforms.x86.peak_kernels import (
    DATA_BYTES,
    PeakKernel,
    bfloat16_kernel,
    float32_kernel,
    int8_kernel,
    read_kernel,
)
from flextune.target.peak_loops import Loop, PeakLoop, PeakLoops
from flextune.target.target import Target


def compiled_loops(target: Target, stream_bytes: int) -> PeakLoops:
    """The loops of a target; the one that streams reads `stream_bytes` on each core."""
    float32, int8, bfloat16 = float32_kernel(target), int8_kernel(target), bfloat16_kernel(target)
    read = read_kernel(target)
    calls = load_kernels([kernel for kernel in (float32, int8, bfloat16, read) if kernel], target)

    def loop(kernel: PeakKernel) -> PeakLoop:
        memory_bytes = stream_bytes if kernel.streams else DATA_BYTES
        return PeakLoop(calls[kernel.name], kernel.work_per_trip, memory_bytes, kernel.streams)

    return PeakLoops(loop(float32), loop(int8), loop(read), loop(bfloat16) if bfloat16 else None)


def load_kernels(kernels: Sequence[PeakKernel], target: Target) -> dict[str, Loop]:
    """Each kernel callable as `loop(address, trips)`; a call lets the interpreter's other threads run."""
    library = compile_kernels(kernels, target).jit()
    return {kernel.name: library[f"run_{kernel.name}"] for kernel in kernels}


def compile_kernels(kernels: Sequence[PeakKernel], target: Target) -> Any:
    """TVM's executable with a function `run_<name>` for each kernel."""
    import tvm

    module = tvm.IRModule({f"run_{kernel.name}": _prim_func(kernel) for kernel in kernels})
    llvm = tvm.target.Target({"kind": "llvm", "mcpu": target.word("cpu"), "mattr": list(llvm_attributes(target))})
    return tvm.compile(module, target=llvm)


def _prim_func(kernel: PeakKernel) -> Any:
    """`(address, trips)` calls the kernel's function, whose LLVM IR travels with it."""
    import tvm
    from tvm import tirx

    address, trips = tirx.Var("address", "int64"), tirx.Var("trips", "int64")
    call = tirx.Evaluate(tirx.call_extern("int32", kernel.name, address, trips))
    body = tirx.AttrStmt(tirx.IntImm("int32", 0), "pragma_import_llvm", tvm.ir.StringImm(kernel.llvm_ir), call)
    return tirx.PrimFunc([address, trips], body).with_attr("global_symbol", f"run_{kernel.name}")
