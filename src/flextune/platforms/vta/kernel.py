"""A program on the simulated accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from flextune.platforms.base import Array
from flextune.platforms.vta.code_generation import Code
from flextune.platforms.vta.form import operands_of, put_result
from flextune.platforms.vta.memory import image_of, result_in
from flextune.platforms.vta.simulator import Simulated, simulate
from flextune.platforms.vta.tiling import Layout, Tiling
from flextune.workload.workload import Workload


class VtaKernel:
    """See `flextune.platforms.base.Kernel` and `CountedKernel`. Cycles do not depend on what the inputs hold."""

    def __init__(self, workload: Workload, tiling: Tiling, code: Code) -> None:
        self._workload, self._tiling, self._code = workload, tiling, code
        self._inputs: Sequence[Array] = ()
        self._outputs: Sequence[Array] = ()
        self._simulated: Simulated | None = None

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._inputs, self._outputs = inputs, outputs

    def run(self) -> None:
        """Raises `SimulationError` for a program that would not run right."""
        tiling, layout = self._tiling, Layout.of(self._tiling)
        memory = image_of(tiling, operands_of(self._workload, tiling.form, self._inputs), self._code.micro_ops)
        writable = (layout.outputs, layout.micro_ops)
        self._simulated = simulate(tiling.hardware, self._code.instructions, memory, writable)
        put_result(self._workload, tiling.form, result_in(tiling, memory), self._outputs[0])

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        del number
        return (float(self.simulated.cycles),) * repeats

    def parts(self) -> Mapping[str, float]:
        return {each.name: float(getattr(self.simulated, each.name)) for each in fields(Simulated)[1:]}

    @property
    def simulated(self) -> Simulated:
        """What a run takes."""
        if self._simulated is None:
            self.run()
        assert self._simulated is not None  # set by `run`
        return self._simulated
