"""One run of a loaded kernel on random inputs, compared with the reference."""

from __future__ import annotations

from flextune.aligned import aligned_copy
from flextune.measure.output_check import check_inputs, check_outputs, poison
from flextune.platforms.base import Array, Kernel
from flextune.workload.workload import Workload


def output_fault(kernel: Kernel, workload: Workload, seed: int = 0) -> str:
    """What is wrong with the outputs of a kernel on inputs drawn with this seed; empty when nothing is."""
    originals = workload.random_inputs(seed)
    references = workload.reference(originals)
    inputs = [aligned_copy(array) for array in originals]
    outputs: list[Array] = [
        aligned_copy(poison(array, spec.element)) for array, spec in zip(references, workload.outputs, strict=True)
    ]
    kernel.bind(inputs, outputs)
    kernel.run()
    return check_inputs(workload, inputs, originals).error or check_outputs(workload, outputs, references).error
