"""Kernels as machine code that any process of the machine can load: an object of LLVM, linked in a millisecond."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache

import tvm

from flextune.errors import BuildError
from flextune.platforms.cpu.symbols import function_bytes
from flextune.temporary import PrivateFolder
from flextune.trial.artifact import CompilerReport
from flextune.tvm_types import BuiltExecutable, LoadedModule

SHARED_LIBRARY = "shared library"
LLVM_IR = "LLVM IR"
"""The same program where there is no linker: whoever loads it generates its machine code."""

_LOADED = 4
_LINK_TIMEOUT_SECS = 60.0


@lru_cache(maxsize=1)
def linker() -> str | None:
    """The linker alone: a compiler that calls it takes five times as long, which each trial would pay."""
    return shutil.which("ld") or shutil.which("ld.lld")


def machine_code(executable: BuiltExecutable) -> tuple[str, bytes]:
    """What `tvm.compile` returned as a kind of content and its bytes. Raises `BuildError` when it cannot be linked."""
    if linker() is None:
        return LLVM_IR, str(executable.mod.inspect_source("ll")).encode()
    with PrivateFolder(kind="link") as folder:
        compiled, library = folder.path / "kernels.o", folder.path / "kernels.so"
        executable.mod.write_to_file(str(compiled), "o")
        command = [str(linker()), "-shared", "-o", str(library), str(compiled)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LINK_TIMEOUT_SECS)
        if outcome.returncode != 0:
            raise BuildError(f"{command[0]} could not link a kernel: {outcome.stderr.strip()[-500:]}")
        return SHARED_LIBRARY, library.read_bytes()


def compiler_reports(kind: str, content: bytes, entries: Sequence[str]) -> list[CompilerReport]:
    """What is known of the machine code of each entry."""
    if kind != SHARED_LIBRARY:
        return [CompilerReport() for _ in entries]
    lengths = function_bytes(content, entries)
    return [CompilerReport(code_bytes=lengths[entry]) for entry in entries]


@lru_cache(maxsize=_LOADED)
def load_module(kind: str, content: bytes) -> LoadedModule:
    """The runtime module; programs that were built together are loaded once.

    Raises `BuildError` when it is nothing that can be loaded here.
    """
    suffix = {SHARED_LIBRARY: ".so", LLVM_IR: ".ll"}.get(kind)
    if suffix is None:
        raise BuildError(f"a CPU loads a {SHARED_LIBRARY} or {LLVM_IR}, not an artifact of kind {kind!r}")
    with PrivateFolder(kind="load") as folder:
        file = folder.path / f"kernels{suffix}"
        file.write_bytes(content)
        try:
            return tvm.runtime.load_module(str(file))
        except (RuntimeError, ValueError, OSError) as error:
            raise BuildError(f"a {kind} of {len(content)} bytes could not be loaded: {error}") from error
