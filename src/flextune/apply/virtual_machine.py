"""Models on TVM's Relax virtual machine: those that are no straight-line code, and all where there is no C compiler."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from flextune.apply.arrays import stored
from flextune.apply.compiled_file import write_model_file
from flextune.apply.quiet import without_noise
from flextune.apply.signature import Signature
from flextune.apply.threads import PoolThreads
from flextune.errors import BuildError, UsageError
from flextune.temporary import PrivateFolder

_PROGRAM = "relax.VMExecutable"
"""TVM's name for what its virtual machine runs, constants included, without the kernels."""


class VirtualMachine:
    """A model on TVM's virtual machine."""

    def __init__(self, module: Any, threads: int) -> None:
        with without_noise():
            self._machine: Any = relax.VirtualMachine(module, tvm.cpu())
        self._threads = PoolThreads(threads)

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        if self._machine is None:
            raise UsageError("the model was unloaded; load it again to run it")
        results = self._threads.call(lambda: self._results(inputs))
        for output, result in zip(outputs, results, strict=True):
            np.copyto(stored(output), result.numpy())

    def run_timed(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        calls: list[tuple[str, float]] = []
        began = 0.0

        def look(_function: Any, name: str, before_run: bool, *_: Any) -> None:
            nonlocal began
            if not before_run and not name.startswith("vm."):
                calls.append((name, time.perf_counter() - began))
            began = time.perf_counter()

        self._machine.set_instrument(look)
        try:
            self.run(inputs, outputs)
        finally:
            self._machine.set_instrument(lambda *_: None)
        return calls

    def set_threads(self, threads: int) -> None:
        self._threads = PoolThreads(threads)

    def close(self) -> None:
        self._machine = None

    def _results(self, inputs: Sequence[np.ndarray]) -> list[Any]:
        result = self._machine["main"](*(tvm.runtime.from_dlpack(stored(array)) for array in inputs))
        return list(result) if not isinstance(result, tvm.runtime.Tensor) else [result]


class VirtualMachineCode:
    """A model that a compiler made; `write_library` is how it links what it made."""

    def __init__(self, library: Any, write_library: Callable[[Any, Path], None]) -> None:
        self._library = library
        self._write_library = write_library

    def open(self, signature: Signature) -> VirtualMachine:
        return VirtualMachine(self._library.jit(), signature.threads)

    def write(self, path: Path, signature: Signature) -> Path:
        with PrivateFolder(kind="model") as folder:
            library = folder.path / "model.so"
            with without_noise():
                self._write_library(self._library, library)
            return write_model_file(library, np.zeros(0, np.uint8), signature, path)

    def write_unlinked(self, path: Path) -> list[Path]:
        """Write it for `UnlinkedVirtualMachineCode`, which needs no linker; returns all files, `path` first."""
        module = self._library.mod
        module.write_to_file(str(path), _PROGRAM)
        texts = {path.with_suffix(f".{n}.ll"): each for n, each in enumerate(module._collect_dso_modules())}
        for file, kernels in texts.items():
            file.write_text(str(kernels.inspect_source("ll")), encoding="utf-8")
        return [path, *texts]


class UnlinkedVirtualMachineCode:
    """A model that `write_unlinked` wrote, for machines without a C compiler: opening it generates its code."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, signature: Signature) -> VirtualMachine:
        module = tvm_ffi.get_global_func(f"ffi.Module.load_from_bytes.{_PROGRAM}")(self._path.read_bytes())
        for kernels in sorted(self._path.parent.glob(f"{self._path.stem}.*.ll")):
            module.import_module(tvm.runtime.load_module(str(kernels)))
        return VirtualMachine(module, signature.threads)

    def write(self, path: Path, signature: Signature) -> Path:
        del path, signature
        raise UsageError("an executable that another process handed over cannot be saved")


class SavedVirtualMachineCode:
    """A model that was saved by `VirtualMachineCode`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, signature: Signature) -> VirtualMachine:
        try:
            with without_noise():
                module = tvm.runtime.load_module(str(self._path.resolve()))
        except (RuntimeError, OSError) as error:
            raise BuildError(f"{self._path} cannot be loaded: {str(error).strip().splitlines()[-1]}") from error
        return VirtualMachine(module, signature.threads)

    def write(self, path: Path, signature: Signature) -> Path:
        del path, signature
        raise UsageError("an executable that was loaded from a file cannot be saved again; copy its file")
