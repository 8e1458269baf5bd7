"""Objects for other processors by TVM's LLVM back end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tvm
from tvm import tirx

from flextune.once import once
from flextune.platforms.cpu.finishing import finished
from flextune.platforms.cpu.object_file import write_object
from flextune.tvm_types import IRModule, PrimFunc
from flextune.workload.rounding import register_rounding

PIPELINE = "flextune_cross"
"""TVM's pipeline for kernels, with floating-point expressions kept as they are written."""


def llvm_target(triple: str, cpu: str, attributes: Sequence[str], cores: int, abi: str = "") -> tvm.target.Target:
    """TVM's form of a target: LLVM for a processor with these features."""
    described = {"kind": "llvm", "mtriple": triple, "mcpu": cpu, "mattr": list(attributes)}
    return tvm.target.Target(described | ({"mabi": abi} if abi else {}) | {"num-cores": cores, "opt-level": 2})


def compile_executable(module: Any, described: tvm.target.Target, *, checked: bool = True) -> Any:
    """What `tvm.compile` makes of an `IRModule` or a PrimFunc; `checked` as in `ModuleCompiler.compile`."""
    _register()
    with tvm.transform.PassContext(config={} if checked else {"tirx.disable_assert": True}):
        return tvm.compile(module, target=described, tir_pipeline=PIPELINE)


def write_kernels(module: Any, described: tvm.target.Target, path: Path) -> Path:
    """The functions of a module, unchecked, as one object file."""
    executable = compile_executable(module, described, checked=False)
    (objects,) = executable.mod._collect_dso_modules()
    write_object(objects, path)
    return path


@once
def _register() -> None:
    register_rounding()
    tirx.register_tir_pipeline(PIPELINE, _pipeline)


def _pipeline() -> tuple[tvm.transform.Pass, Callable[[], tvm.transform.Pass], Callable[[], tvm.transform.Pass]]:
    lower, finish_host, finish_device = tirx.get_tir_pipeline("default")
    return tvm.transform.Sequential([_finished, lower]), finish_host, finish_device


@tirx.transform.prim_func_pass(opt_level=0, name="flextune.cross.Finished")  # type: ignore[untyped-decorator]
def _finished(function: PrimFunc, _module: IRModule, _context: tvm.transform.PassContext) -> PrimFunc:
    return function.with_body(finished(function.body))
