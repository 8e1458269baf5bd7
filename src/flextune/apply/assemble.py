"""From a module of scheduled kernels to an `Executable`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tvm

from flextune.apply.executable import Executable
from flextune.apply.native_build import build_library, temporary_folder
from flextune.apply.own_code import BuiltCode
from flextune.apply.signature import Runtime, Signature
from flextune.apply.static_program import static_model
from flextune.apply.virtual_machine import VirtualMachineCode
from flextune.platforms import registry as platforms
from flextune.target.target import Target


def assemble(module: tvm.IRModule, signature: Signature, target: Target, in_place: bool = True) -> Executable:
    """Compile Relax `main` over scheduled PrimFuncs. RuntimeError where TVM cannot compile it.

    Straight-line models get a library with a runtime of its own, in which concatenations and slices are views (unless
    `in_place` is false); others, and all where there is no C compiler, run on TVM's virtual machine.
    """
    signature = replace(signature, instructions=platforms.compiler(target.kind).instructions(target))
    return _own(module, signature, target, in_place) or _on_virtual_machine(module, signature, target)


def _own(module: tvm.IRModule, signature: Signature, target: Target, in_place: bool) -> Executable | None:
    model = static_model(module, signature, target, in_place)
    if model is None:
        return None
    program = model.program
    signature = replace(
        signature,
        runtime=Runtime.OWN,
        kernels=tuple(step.kernel or "" for step in program.steps),
        weight_bytes=program.weight_bytes,
        activation_bytes=program.activation_bytes,
    )
    folder = temporary_folder()
    library = build_library(model, signature, target, Path(folder.name))
    return None if library is None else Executable(BuiltCode(library, model.weights, folder), signature)


def _on_virtual_machine(module: tvm.IRModule, signature: Signature, target: Target) -> Executable:
    compiler = platforms.compiler(target.kind)
    return Executable(VirtualMachineCode(compiler.compile(module, target), compiler.write_library), signature)
