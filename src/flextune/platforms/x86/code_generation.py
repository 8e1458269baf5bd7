"""Code generation for x86 CPUs: TVM's LLVM back end, in memory or as a shared library."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tvm
from tvm.ir import IRModule

from flextune.errors import BuildError
from flextune.native.toolchain import compiler_command
from flextune.platforms.x86.kind import llvm_attributes
from flextune.platforms.x86.native_operators import PIPELINE, register_operators
from flextune.target.target import Target
from flextune.temporary import PrivateFolder


def tvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of the target: LLVM for exactly this CPU and these features.

    At LLVM's second level the kernels, which are vectorised and unrolled already, come out as fast as at the third, and
    compile in four fifths of the time.
    """
    return tvm.target.Target(
        {
            "kind": "llvm",
            "mcpu": target.word("cpu"),
            "mattr": list(llvm_attributes(target)),
            "num-cores": target.cores,
            "opt-level": 2,
        }
    )


def compile_executable(module: Any, target: Target, *, checked: bool = True) -> Any:
    """What `tvm.compile` makes of an `IRModule` or a PrimFunc: all code for x86 is compiled here.

    Without `checked`, its functions take their arguments for right: the code that checks their shapes and types is as
    long as a small kernel, and half of what such a kernel takes to compile.
    """
    register_operators()
    with tvm.transform.PassContext(config={} if checked else {"tirx.disable_assert": True}):
        return tvm.compile(module, target=tvm_target(target), tir_pipeline=PIPELINE)


def compile_module(module: IRModule, target: Target, *, checked: bool = True) -> Any:
    """Compile in memory and return the runtime module; `checked` as in `compile_executable`.

    TVM compiles machine code at the first look-up of a function; that is done here, so that the
    first call later does not pay for it.
    """
    loaded = compile_executable(module, target, checked=checked).jit()
    for variable, function in module.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            loaded.get_function(variable.name_hint, query_imports=True)
    return loaded


def export_library(executable: Any, path: Path) -> None:
    """Write what `compile_executable` returned as a shared library, linked by the first linker of `compiler_command`.

    Raises `EnvironmentFault` when there is no linker, `BuildError` when it fails.
    """
    linker = compiler_command()

    def link(output: str, objects: Sequence[str], **_options: object) -> None:
        run_linker(linker, output, objects)

    with PrivateFolder(kind="link") as folder:
        executable.export_library(str(path), fcompile=link, workspace_dir=str(folder.path))


def run_linker(linker: Sequence[str], output: str, objects: Sequence[str]) -> None:
    """Link position independent objects into the shared library `output`."""
    command = [*linker, "-shared", "-fPIC", "-o", output, *objects]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise BuildError(f"{' '.join(linker)} could not link {output}: {outcome.stderr.strip()[-500:]}")
