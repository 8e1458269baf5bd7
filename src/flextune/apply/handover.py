"""A built model on its way to another process of this run: where its library lies, and its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np

from flextune.apply.huge_pages import huge_block
from flextune.apply.machine import ModelCode
from flextune.apply.own_code import BuiltCode, SavedCode
from flextune.apply.saved_code import saved_code
from flextune.apply.signature import Runtime, Signature
from flextune.native.toolchain import has_compiler

Handed = Mapping[str, str]
"""`library`: the path of the library; `weights`: that of its weights, empty where they are in the library's file."""

_UNLINKED = ".vm"
_numbers = count()
"""Of files: where two libraries had one path after the other, the system's loader would take the first for both."""


@contextmanager
def handed_over(code: ModelCode, signature: Signature, folder: Path) -> Iterator[Handed]:
    """The model for `received` in another process, which has it once the block ends; `folder` takes what is written."""
    if isinstance(code, SavedCode):
        yield {"library": str(code.path), "weights": ""}
    elif isinstance(code, BuiltCode):
        with _shared(code.weights) as weights:
            yield {"library": str(code.library), "weights": weights}
    else:
        files = _written(code, signature, folder / f"model{next(_numbers)}.so")
        try:
            yield {"library": str(files[0]), "weights": ""}
        finally:
            for file in files:
                file.unlink(missing_ok=True)


def received(handed: Handed, runtime: Runtime) -> ModelCode:
    """The model that another process hands over."""
    library = Path(handed["library"])
    if library.suffix == _UNLINKED:
        from flextune.apply.virtual_machine import UnlinkedVirtualMachineCode  # TVM takes seconds to load

        return UnlinkedVirtualMachineCode(library)
    if handed["weights"]:
        return BuiltCode(library, _read(Path(handed["weights"])))
    return saved_code(library, runtime)


def _written(code: ModelCode, signature: Signature, path: Path) -> list[Path]:
    """The files of a model that lies in memory, its library or what stands for it first."""
    if not has_compiler() and signature.runtime is Runtime.TVM:
        from flextune.apply.virtual_machine import VirtualMachineCode  # TVM takes seconds to load

        if isinstance(code, VirtualMachineCode):
            return code.write_unlinked(path.with_suffix(_UNLINKED))
    return [code.write(path, signature)]


@contextmanager
def _shared(array: np.ndarray) -> Iterator[str]:
    """A path at which other processes read the bytes of an array; they lie in memory, not on a disk."""
    memory = os.memfd_create("flextune-weights")
    try:
        with open(memory, "wb", closefd=False) as stream:
            stream.write(array.data)
        yield f"/proc/{os.getpid()}/fd/{memory}"
    finally:
        os.close(memory)


def _read(path: Path) -> np.ndarray:
    """The bytes at a path, placed as weights are."""
    block = huge_block(path.stat().st_size)
    with path.open("rb") as stream:
        stream.readinto(block.data)
    return block
