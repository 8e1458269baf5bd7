"""The platforms that ship, by name: where the parts of each are. One row here makes a folder known."""

from __future__ import annotations

KINDS = {
    "x86": "flextune.platforms.x86.kind:X86",
    "null": "flextune.platforms.null.kind:NULL",
    "cuda": "flextune.platforms.cuda.kind:CUDA",
    "arm": "flextune.platforms.arm.kind:ARM",
    "vta": "flextune.platforms.vta.kind:VTA",
    "fpga": "flextune.platforms.fpga.kind:FPGA",
    "riscv": "flextune.platforms.riscv.kind:RISCV",
    "hexagon": "flextune.platforms.hexagon.kind:HEXAGON",
    "ascend": "flextune.platforms.ascend.kind:ASCEND",
    "opencl": "flextune.platforms.opencl.kind:OPENCL",
    "triton": "flextune.platforms.triton.kind:TRITON",
    "rocm": "flextune.platforms.triton.kind:ROCM",
}
"""Kinds of targets: `flextune.target.kind.TargetKind`."""

PLATFORMS = {
    "x86": "flextune.platforms.x86.platform:X86Platform",
    "null": "flextune.platforms.null.platform:NullPlatform",
    "cuda": "flextune.platforms.cuda.platform:CudaPlatform",
    "arm": "flextune.platforms.arm.platform:ArmPlatform",
    "vta": "flextune.platforms.vta.platform:VtaPlatform",
    "fpga": "flextune.platforms.fpga.platform:FpgaPlatform",
    "riscv": "flextune.platforms.riscv.platform:RiscvPlatform",
    "hexagon": "flextune.platforms.hexagon.platform:HexagonPlatform",
    "ascend": "flextune.platforms.ascend.platform:AscendPlatform",
    "opencl": "flextune.platforms.opencl.platform:OpenClPlatform",
    "triton": "flextune.platforms.triton.platform:TritonPlatform",
    "rocm": "flextune.platforms.triton.platform:RocmPlatform",
}
"""`flextune.platforms.base.Platform`: what makes one."""

COMPILERS = {
    "x86": "flextune.platforms.x86.compiler:X86Compiler",
    "arm": "flextune.platforms.arm.platform:ArmCompiler",
    "riscv": "flextune.platforms.riscv.platform:RiscvCompiler",
}
"""`flextune.platforms.compiler.ModuleCompiler`, of those that compile whole models."""

STEPS = {
    "attention": "flextune.platforms.cpu.attention.attention_step:Attention",
    "gpu_matrix_tile": "flextune.platforms.gpu.matrix_tile:MatrixTile",
    "gpu_tensor_tile": "flextune.platforms.gpu.tensor_tile:TensorTile",
    "gpu_thread_nest": "flextune.platforms.gpu.thread_steps:ThreadNest",
    "gpu_block_rows": "flextune.platforms.gpu.thread_steps:BlockRows",
}
"""Steps of traces that are not shared by all platforms: `flextune.schedule.step.Step`."""

LIBRARIES: dict[str, tuple[str, ...]] = {"x86": ("flextune.schedule.apply",)}
"""What a platform needs beside its own folder and is slow to load; see `platform_registry.libraries`."""
