"""A scheduled program as source for a device, with its launches: nothing is loaded, no runtime is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call
from tvm.tirx.build import codegen_build, split_host_device_mods

from flextune.errors import BuildError
from flextune.platforms.gpu.launch_plan import Launch, LaunchPlan
from flextune.tvm_types import Expression, IRModule

_DYNAMIC_SHARED = "tirx.use_dyn_shared_memory"
_AXES = ("x", "y", "z")


def device_source(
    module: IRModule, target: Mapping[str, object], options: Mapping[str, object] | None = None
) -> tuple[str, LaunchPlan]:
    """The source of the kernels of a module's `main` for TVM's target of these attributes, and its launches.

    Raises `BuildError` where a part of the program runs outside of kernels, or TVM cannot generate code.
    """
    try:
        return _generated(module, tvm.target.Target(dict(target), host={"kind": "llvm"}), dict(options or {}))
    except (RuntimeError, ValueError, TypeError) as error:
        raise BuildError(f"no device code: {_last_line(error)}") from error


def _generated(module: IRModule, target: tvm.target.Target, options: dict[str, object]) -> tuple[str, LaunchPlan]:
    with tvm.transform.PassContext(config=options), target:
        lowered = tirx.transform.BindTarget(target)(module)
        pipeline, _, finalize_device = tirx.get_default_tir_pipeline(target)
        host, devices = split_host_device_mods(pipeline(lowered))
        if len(devices) != 1:
            raise BuildError("the program has no kernel: some loop must be bound to blocks or threads")
        [device] = devices.values()
        source = codegen_build(finalize_device()(lower_warp_memory(device)), target).inspect_source()
    [function] = host.functions.values()
    return source, _plan(function, [str(parameter.name) for parameter in module["main"].params])


def lower_warp_memory(device: IRModule) -> IRModule:
    """TVM's pass lowers one of several sibling buffers of scope `warp` each time."""
    while 'scope="warp"' in device.script():
        device = tirx.transform.LowerWarpMemory()(device)
    return device


def _plan(function: Expression, parameters: list[str]) -> LaunchPlan:
    launches: list[Launch] = []
    workspaces: list[tuple[str, int]] = []

    def visit_call(call: Expression) -> None:
        if getattr(call.op, "name", "") == "tirx.call_ffi_kernel":
            launches.append(_launch(call))

    def visit_alloc(alloc: Expression) -> None:
        count = math.prod(int(extent) for extent in alloc.buffer.shape)
        workspaces.append((str(alloc.buffer.name), count * int(tvm.DataType(alloc.buffer.dtype).itemsize)))

    tvm_ffi.structural_walk(function.body, (Call, visit_call))
    tvm_ffi.structural_walk(function.body, (tirx.AllocBuffer, visit_alloc))
    known = {*parameters, *(name for name, _ in workspaces)}
    if unknown := {name for launch in launches for name in launch.arguments} - known:
        raise BuildError(f"a kernel takes {', '.join(sorted(unknown))}, which is no buffer of the program")
    if len(known) != len(parameters) + len(workspaces):
        raise BuildError("two buffers of the program have one name")
    return LaunchPlan(tuple(parameters), tuple(launches), tuple(workspaces))


def _launch(call: Expression) -> Launch:
    tags = [str(tag) for tag in call.attrs.launch_params]
    name, *rest = call.args
    count = len(rest) - len(tags)
    extents = {tag: int(value) for tag, value in zip(tags, rest[count:], strict=True)}
    grid, block = (tuple(extents.get(f"{what}Idx.{axis}", 1) for axis in _AXES) for what in ("block", "thread"))
    arguments = tuple(map(_buffer_name, rest[:count]))
    return Launch(str(name.value), arguments, grid, block, extents.get(_DYNAMIC_SHARED, 0))  # type: ignore[arg-type]


def _buffer_name(expression: Expression) -> str:
    names: list[str] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, lambda variable: names.append(str(variable.name))))
    return names[0]


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else type(error).__name__)
