"""A schedule on a simulated overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flextune.platforms.base import Array
from flextune.platforms.fpga.schedule import Schedule, commands_of, lines_of, result_of
from flextune.platforms.fpga.verilator import program_of, run
from flextune.workload.workload import Workload


class FpgaKernel:
    """See `flextune.platforms.base.Kernel` and `CountedKernel`. Cycles do not depend on what the inputs hold."""

    def __init__(self, workload: Workload, schedule: Schedule, latency: int) -> None:
        self._workload, self._schedule, self._latency = workload, schedule, latency
        self._program = program_of(schedule.overlay)
        self._inputs: Sequence[Array] = ()
        self._outputs: Sequence[Array] = ()
        self._cycles = 0

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._inputs, self._outputs = inputs, outputs

    def run(self) -> None:
        """One product of a batch after the other. Raises `SimulationError` where the overlay does not go on."""
        schedule, params = self._schedule, dict(self._workload.params)
        left, right = (array if array.ndim == 3 else array[None] for array in self._inputs)
        left = left.swapaxes(1, 2) if params.get("ta") else left
        right = right.swapaxes(1, 2) if params.get("tb") else right
        output = self._outputs[0] if self._outputs[0].ndim == 3 else self._outputs[0][None]
        commands, sums = commands_of(schedule), schedule.panels[0] * schedule.panels[1] * schedule.overlay.elements
        cycles = 0
        for a, b, result in zip(left, right, output, strict=True):
            taken, values = run(self._program, commands, lines_of(schedule, commands, a, b), sums, self._latency)
            np.copyto(result, result_of(schedule, values))
            cycles += taken
        self._cycles = cycles

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        del number
        if not self._cycles:
            self.run()
        return (float(self._cycles),) * repeats

    def parts(self) -> Mapping[str, float]:
        overlay = self._schedule.overlay
        return {"dsps": float(overlay.dsps), "brams": float(overlay.brams)}
