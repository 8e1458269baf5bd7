"""Kernels to object files: in this process, or wherever a compiler that cannot hurt this process runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import tvm

from flextune.errors import KernelError
from flextune.platforms import platform_registry as platforms
from flextune.target.target import Target
from flextune.tvm_types import IRModule
from flextune.workload.rounding import register_rounding

PARTS = 2
"""Object files that are made of a model's kernels, at the same time: most of that time is LLVM's."""


class ObjectWriter(Protocol):
    """Compiles kernels. Called from several threads at the same time, with a `part` that differs between them."""

    def write(self, kernels: tvm.IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        """Compile PrimFuncs to object files, in `folder` unless it has them elsewhere already.

        KernelError when they cannot be compiled.
        """
        ...


class InProcess:
    """Compiles in this process, which a crash of the compiler ends."""

    def write(self, kernels: tvm.IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        path = folder / f"kernels{part}.o"
        write_object(kernels, target, path)
        return (path,)


def write_objects(kernels: Any, target: Target, folder: Path, writer: ObjectWriter) -> list[Path]:
    """The kernels as object files in `folder`. KernelError when one of them cannot be compiled."""
    shares = [share for share in _shares(list(kernels.functions_items()), PARTS) if share]
    with ThreadPoolExecutor(PARTS) as executor:
        writes = [
            executor.submit(writer.write, tvm.IRModule(dict(share)), target, folder, part)
            for part, share in enumerate(shares)
        ]
        return [path for write in writes for path in write.result()]


def write_object(kernels: IRModule, target: Target, path: Path) -> None:
    """Compile PrimFuncs to one object file at `path`, in this process. KernelError when they cannot be compiled."""
    try:
        platforms.compiler(target.kind).write_object(kernels, target, path)
    except RuntimeError as error:  # TVM's own, whatever went wrong in it
        raise KernelError(last_line(error)) from error


def write_objects_of_texts(texts: Mapping[Path, Path], target: str) -> None:
    """Each object file, by its path, of kernels that another process of this run wrote as TVM's JSON."""
    register_rounding()  # which the text of a kernel may hold
    for path, text in texts.items():
        write_object(tvm.ir.load_json(text.read_text(encoding="utf-8")), Target.parse(target), path)


def last_line(error: Exception) -> str:
    """The last line of an error, which is where TVM says what is wrong; not one that underlines another."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^~")]
    return lines[-1] if lines else type(error).__name__


def _shares(items: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    return [items[index::parts] for index in range(parts)]
