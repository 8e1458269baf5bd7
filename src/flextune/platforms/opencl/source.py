"""OpenCL C of a scheduled program: TVM's, with what OpenCL leaves open decided."""

from __future__ import annotations

import re

import tvm
import tvm_ffi
from tvm import tirx

from flextune.errors import BuildError
from flextune.platforms.gpu.device_source import device_source
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.opencl.kind import DOUBLE, HALF
from flextune.target.target import Target
from flextune.tvm_types import Buffer, IRModule

PRELUDE = """#define flextune_max(a, b) ((a) > (b) ? (a) : (b))
#define flextune_min(a, b) ((a) < (b) ? (a) : (b))
"""
"""OpenCL's own `max` may give anything where an operand is no number; reductions rely on what TVM's `Max` gives."""

EXTENSIONS = {HALF: "cl_khr_fp16", DOUBLE: "cl_khr_fp64"}
"""By the features of targets."""

_OPTIONS = {"tirx.disable_cse_tir": True, "tirx.disable_storage_rewrite": True}
_EXTREME = re.compile(r"(?<!\w)(max|min)\(")
_DYNAMIC, _STATIC = "shared.dyn", "shared"
_KERNEL = re.compile(r"^__kernel void \w+\([^)]*\) \{\n", re.MULTILINE)
_LOCAL = re.compile(r"^ +(__local (\w+) \w+\[(\d+)\];)\n", re.MULTILINE)
_BYTES = {
    "char": 1,
    "uchar": 1,
    "bool": 1,
    "short": 2,
    "ushort": 2,
    "half": 2,
    "int": 4,
    "uint": 4,
    "float": 4,
    "long": 8,
    "ulong": 8,
    "double": 8,
}
_LANES = re.compile(r"([a-z]+)(\d*)")


def opencl_source(module: IRModule, target: Target) -> tuple[str, LaunchPlan]:
    """The kernels of a module's `main` for this device, and how they are launched.

    Raises `BuildError` where the device has no such numbers, or TVM no code.
    """
    attributes = {
        "kind": "opencl",
        "max_threads_per_block": target.number("threads"),
        "max_shared_memory_per_block": target.number("shared"),
        "thread_warp_size": 1,  # lanes of a warp are ordered by barriers alone: OpenCL promises nothing else
    }
    source, plan = device_source(with_static_memory(module), attributes, _OPTIONS)
    for feature, extension in EXTENSIONS.items():
        if extension in source and not target.has(feature):
            raise BuildError(f"the program computes with {extension}, which {target} lacks (feature {feature})")
    return PRELUDE + with_local_memory_first(_EXTREME.sub(r"flextune_\1(", source)), plan


def with_local_memory_first(source: str) -> str:
    """The source with what groups share declared where kernels begin: OpenCL C allows it nowhere else.

    >>> print(with_local_memory_first("__kernel void f(int n) {\\n  for (;;) {\\n    __local float a[4];\\n  }\\n}\\n"))
    __kernel void f(int n) {
      __local float a[4];
      for (;;) {
      }
    }
    <BLANKLINE>
    """
    starts = [match.end() for match in _KERNEL.finditer(source)]
    parts = [source[: starts[0]]] if starts else [source]
    for start, end in zip(starts, (*starts[1:], len(source)), strict=True):
        body = source[start:end]
        declared = "".join(f"  {each}\n" for each, _, _ in _LOCAL.findall(body))
        parts.append(declared + _LOCAL.sub("", body))
    return "".join(parts)


def local_bytes(source: str) -> int:
    """Of local memory, as declared in the kernel that has most. Raises `BuildError` for a type without a size."""
    return max(
        sum(int(count) * _size(kind) for _, kind, count in _LOCAL.findall(kernel)) for kernel in _KERNEL.split(source)
    )


def _size(kind: str) -> int:
    found = _LANES.fullmatch(kind)
    if found is None or found[1] not in _BYTES:
        raise BuildError(f"the size of {kind!r} in local memory is not known")
    return _BYTES[found[1]] * int(found[2] or 1)


def with_static_memory(module: IRModule) -> IRModule:
    """The module's `main` with local memory declared in its kernels: OpenCL C has no other."""
    function = module["main"]
    replaced: dict[Buffer, Buffer] = {}

    def static(variable: Buffer) -> Buffer:
        if not tirx.buffer.is_buffer_var(variable) or variable.scope() != _DYNAMIC:
            return variable
        if variable not in replaced:
            kind = variable.ty
            replaced[variable] = tirx.decl_buffer(
                kind.shape, kind.dtype, variable.name, None, kind.strides, kind.elem_offset, _STATIC,
                kind.data_alignment, kind.offset_factor,
            )  # fmt: skip
        return replaced[variable]

    body = tvm_ffi.structural_map(function.body, [(tirx.Var, static)], order="post")
    return tvm.IRModule({"main": tirx.PrimFunc(function.params, body, function.ret_type, function.attrs)})
