"""A static model to a shared library that carries its own runtime."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from flextune.apply.kernel_objects import ObjectWriter, write_objects
from flextune.apply.program_text import program_text
from flextune.apply.signature import Signature
from flextune.apply.static_program import StaticModel
from flextune.errors import EnvironmentFault
from flextune.native.toolchain import SOURCES, SYMBOLIC_SOURCES, compile_c, link, runtime_objects
from flextune.platforms import platform_registry as platforms
from flextune.platforms.compiler import toolchain_for
from flextune.target.memory import size_text
from flextune.target.target import Target
from flextune.temporary import PrivateFolder

CALLS_INTO_TVM = (b"__TVMFFIFunctionCall", b"__TVMFFIEnvModLookupFromImports")
"""Symbols of kernels that call functions of TVM's runtime by name; the model's own runtime has none of these."""

LEAST_ROOM_BYTES = 32 << 20
"""For the objects of all kernels and the library that they are linked to, without its weights."""


def build_library(
    model: StaticModel, signature: Signature, target: Target, folder: Path, writer: ObjectWriter
) -> Path | None:
    """Compile and link the model into `folder`, without its weights; None when a kernel needs TVM's runtime.

    KernelError when a kernel cannot be compiled; BuildError or EnvironmentFault when the C compiler fails.
    """
    toolchain = toolchain_for(platforms.compiler(target.kind), target)
    objects = write_objects(model.kernels, target, folder, writer)
    if any(symbol in path.read_bytes() for path in objects for symbol in CALLS_INTO_TVM):
        return None
    tables = compile_c(program_text(model.program, signature), folder / "program.o", toolchain)
    sources = SOURCES if model.program.symbolic is None else SYMBOLIC_SOURCES
    return link([*objects, tables, *runtime_objects(sources, toolchain)], folder / "model.so", toolchain)


def temporary_folder() -> PrivateFolder:
    """A folder for a library that lives as long as the process needs it.

    EnvironmentFault where little room is left: LLVM ends the process when it cannot write an object.
    """
    parent = tempfile.gettempdir()
    free = shutil.disk_usage(parent).free
    if free < LEAST_ROOM_BYTES:
        raise EnvironmentFault(
            f"{parent} has {size_text(free)} free, and building a model takes {size_text(LEAST_ROOM_BYTES)} there: "
            "free some space, or set TMPDIR to another folder"
        )
    return PrivateFolder(kind="model")
