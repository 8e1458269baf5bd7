"""From a module of scheduled kernels to an `Executable`."""

from __future__ import annotations

from dataclasses import replace

import tvm

from flextune.apply.executable import Executable
from flextune.apply.kernel_names import workload_keys
from flextune.apply.kernel_objects import InProcess, ObjectWriter, last_line
from flextune.apply.native_build import build_library, temporary_folder
from flextune.apply.own_code import BuiltCode
from flextune.apply.signature import Runtime, Signature
from flextune.apply.static_program import static_model
from flextune.apply.virtual_machine import VirtualMachineCode
from flextune.errors import BuildError, KernelError
from flextune.lowering.regions import has_regions
from flextune.native.toolchain import has_compiler
from flextune.platforms import platform_registry as platforms
from flextune.platforms.compiler import toolchain_for
from flextune.target.target import Target


def assemble(
    module: tvm.IRModule,
    signature: Signature,
    target: Target,
    in_place: bool = True,
    writer: ObjectWriter | None = None,
) -> Executable:
    """Compile Relax `main` over scheduled PrimFuncs. KernelError where TVM cannot compile it.

    Models get a library with a runtime of its own, in which concatenations and slices are views (unless `in_place` is
    false); those whose shapes are not static, that call TVM's runtime, and all where there is no C compiler, run on
    TVM's virtual machine, and say why. A compiler that fails is a `BuildError`, not a reason, and so is a model with
    loops that cannot have a runtime of its own.
    """
    signature = replace(signature, instructions=platforms.compiler(target.kind).instructions(target))
    own = _own(module, signature, target, in_place, writer or InProcess())
    if isinstance(own, Executable):
        return own
    if has_regions(module):
        raise BuildError(f"{signature.name} has loops or branches, which TVM's virtual machine does not run, and {own}")
    return _on_virtual_machine(module, signature, target, own)


def _own(
    module: tvm.IRModule, signature: Signature, target: Target, in_place: bool, writer: ObjectWriter
) -> Executable | str:
    """The model with a runtime of its own, or why it cannot have one."""
    model = static_model(module, signature, target, in_place)
    if model is None:
        return "it has sizes that those of its inputs do not tell, or it calls functions that are no kernels"
    if toolchain_for(platforms.compiler(target.kind), target) is None and not has_compiler():
        return "there is no C compiler (gcc, cc, or the Python package ziglang)"
    program = model.program
    signature = replace(
        signature,
        runtime=Runtime.OWN,
        kernels=tuple(step.kernel or "" for step in program.steps),
        weight_bytes=program.weight_bytes,
        activation_bytes=program.activation_bytes if program.symbolic is None else None,
    )
    folder = temporary_folder()
    library = build_library(model, signature, target, folder.path, writer)
    if library is None:
        return "kernels of the model call TVM's runtime"
    return Executable(BuiltCode(library, model.weights, folder), signature, workload_keys=workload_keys(model.kernels))


def _on_virtual_machine(module: tvm.IRModule, signature: Signature, target: Target, reason: str) -> Executable:
    compiler = platforms.compiler(target.kind)
    try:
        code = VirtualMachineCode(compiler.compile(module, target), compiler.write_library)
    except RuntimeError as error:  # TVM's own, whatever went wrong in it
        raise KernelError(last_line(error)) from error
    notes = (f"it runs on TVM's virtual machine, because {reason}",)
    return Executable(code, signature, notes, workload_keys(module))
