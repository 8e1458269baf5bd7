"""Kernels to object files: in this process, or wherever a compiler that cannot hurt this process runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import tvm

from flextune.errors import KernelError
from flextune.platforms import platform_registry as platforms
from flextune.target.target import Target
from flextune.workload.rounding import register_rounding

PARTS = 2
"""Object files that are made of a model's kernels, at the same time: most of that time is LLVM's."""


class ObjectWriter(Protocol):
    """Compiles kernels. Called from several threads at the same time, with a `part` that differs between them."""

    def write(self, kernels: tvm.IRModule, target: Target, path: Path, part: int = 0) -> None:
        """Compile PrimFuncs to an object file at `path`. KernelError when they cannot be compiled."""
        ...


class InProcess:
    """Compiles in this process, which a crash of the compiler ends."""

    def write(self, kernels: tvm.IRModule, target: Target, path: Path, part: int = 0) -> None:
        del part
        try:
            platforms.compiler(target.kind).write_object(kernels, target, path)
        except RuntimeError as error:  # TVM's own, whatever went wrong in it
            raise KernelError(last_line(error)) from error


def write_objects(kernels: Any, target: Target, folder: Path, writer: ObjectWriter) -> list[Path]:
    """The kernels as object files in `folder`. KernelError when one of them cannot be compiled."""
    shares = [share for share in _shares(list(kernels.functions_items()), PARTS) if share]
    paths = [folder / f"kernels{part}.o" for part in range(len(shares))]
    with ThreadPoolExecutor(PARTS) as executor:
        writes = [
            executor.submit(writer.write, tvm.IRModule(dict(share)), target, path, part)
            for part, (share, path) in enumerate(zip(shares, paths, strict=True))
        ]
        for write in writes:
            write.result()
    return paths


def write_object_of_text(kernels: Path, target: str, path: Path) -> None:
    """As `InProcess`, of kernels that another process of this run wrote as TVM's JSON."""
    register_rounding()  # which the text of a kernel may hold
    InProcess().write(tvm.ir.load_json(kernels.read_text(encoding="utf-8")), Target.parse(target), path)


def last_line(error: Exception) -> str:
    """The last line of an error, which is where TVM says what is wrong."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _shares(items: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    return [items[index::parts] for index in range(parts)]
