"""Models whose library carries its own runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flextune.apply.compiled_file import write_model_file
from flextune.apply.native_model import NativeModel
from flextune.apply.signature import Signature
from flextune.errors import UsageError
from flextune.importing.values import ValueSpec
from flextune.temporary import PrivateFolder
from flextune.workload.dim import Dim


@dataclass(frozen=True, slots=True, eq=False)
class BuiltCode:
    """A library that has just been built, and its weights. Its temporary folder, where given, lives as long as this."""

    library: Path
    weights: np.ndarray
    folder: PrivateFolder | None = None

    def open(self, signature: Signature) -> NativeModel:
        machine = NativeModel(self.library, signature.kernels, self.weights)
        machine.set_threads(signature.threads)
        return machine

    def write(self, path: Path, signature: Signature) -> Path:
        return write_model_file(self.library, self.weights, signature, path)


def _declared(signature: Signature) -> tuple[tuple[ValueSpec, ...], tuple[ValueSpec, ...]]:
    """The inputs and outputs as a library describes them, without how sizes depend on dimensions."""
    ports = signature.inputs, signature.outputs
    inputs, outputs = (tuple(replace(spec, sizes=()) for spec in specs) for specs in ports)
    return inputs, outputs


def _range(dim: Dim) -> tuple[str, int, int, int]:
    return dim.name, dim.sizes[0], dim.sizes[-1], dim.multiple


@dataclass(frozen=True, slots=True)
class SavedCode:
    """A library in a file."""

    path: Path

    def open(self, signature: Signature) -> NativeModel:
        machine = NativeModel(self.path, signature.kernels)
        if machine.ports != _declared(signature) or machine.dims != tuple(map(_range, signature.dims)):
            raise UsageError(
                f"{self.path} was changed after it was compiled: its code takes and gives other tensors than its "
                "signature says; compile it again"
            )
        machine.set_threads(signature.threads)
        return machine

    def write(self, path: Path, signature: Signature) -> Path:
        del path, signature
        raise UsageError("an executable that was loaded from a file cannot be saved again; copy its file")
