"""Inputs and reference outputs of a workload, made once and shared between processes as .npy files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flextune.aligned import aligned_copy
from flextune.measure.output_check import poison
from flextune.platforms.base import Array
from flextune.workload.workload import Workload

INPUT_SEED = 20_240


@dataclass(frozen=True, slots=True)
class KernelData:
    """What the kernels of one workload run on."""

    inputs: tuple[Array, ...]
    """What kernels read; a wrong one may write to them."""
    outputs: tuple[Array, ...]
    """What kernels write."""
    originals: tuple[Array, ...]
    """What the inputs were at the start."""
    references: tuple[Array, ...]
    """What the outputs must be."""
    poisons: tuple[Array, ...]
    """Wrong values for every element of the outputs."""

    def poison_outputs(self) -> None:
        """Make every output element wrong."""
        for output, values in zip(self.outputs, self.poisons, strict=True):
            np.copyto(output, values)

    def restore_inputs(self) -> None:
        """Undo what a wrong program wrote."""
        for array, values in zip(self.inputs, self.originals, strict=True):
            np.copyto(array, values)


def save_data(workload: Workload, folder: Path) -> None:
    """Make inputs, compute the reference, and write both below `folder`."""
    inputs = workload.random_inputs(INPUT_SEED)
    _save(folder, "input", inputs)
    _save(folder, "reference", workload.reference(inputs))


def load_data(workload: Workload, folder: Path) -> KernelData:
    """Originals and references stay in the file system's cache; inputs and outputs are aligned as TVM expects."""
    originals = _load(folder, "input", len(workload.inputs))
    references = _load(folder, "reference", len(workload.outputs))
    return KernelData(
        inputs=tuple(map(aligned_copy, originals)),
        outputs=tuple(map(aligned_copy, references)),
        originals=originals,
        references=references,
        poisons=tuple(
            poison(reference, spec.element) for reference, spec in zip(references, workload.outputs, strict=True)
        ),
    )


def _save(folder: Path, prefix: str, arrays: Sequence[Array]) -> None:
    for index, array in enumerate(arrays):
        np.save(folder / f"{prefix}{index}.npy", array, allow_pickle=False)


def _load(folder: Path, prefix: str, count: int) -> tuple[Array, ...]:
    paths = [folder / f"{prefix}{index}.npy" for index in range(count)]
    return tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
