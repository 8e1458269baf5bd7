"""What the tests of the VTA platform share: schedules with all that is made of them."""

from dataclasses import dataclass, replace

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.platforms.vta.code_generation import Code, generate
from flextune.platforms.vta.form import form_of, operands_of
from flextune.platforms.vta.hardware import Hardware, hardware_of
from flextune.platforms.vta.memory import image_of, result_in
from flextune.platforms.vta.simulator import Simulated, simulate
from flextune.platforms.vta.space import tiling_of
from flextune.platforms.vta.tiling import Layout, Tiling
from flextune.target.target import Target
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

VTA = Target.parse("vta")


@dataclass(frozen=True)
class Scheduled:
    """A workload with a schedule and its code; tests change one of them."""

    workload: Workload
    tiling: Tiling
    code: Code

    @classmethod
    def of(cls, text: str, assignment: str, target: Target = VTA) -> "Scheduled":
        workload = parse_workload(text)
        tiling = tiling_of(form_of(workload), hardware_of(target), Assignment.parse(assignment))
        return cls(workload, tiling, generate(tiling))

    def run(self, hardware: Hardware | None = None) -> tuple[np.ndarray, Simulated]:
        """The result [g, n, o, y, x] and what it took, on other hardware than it was made for where that is given."""
        inputs, layout = self.workload.random_inputs(1), Layout.of(self.tiling)
        memory = image_of(self.tiling, operands_of(self.workload, self.tiling.form, inputs), self.code.micro_ops)
        writable = (layout.outputs, layout.micro_ops)
        simulated = simulate(hardware or self.tiling.hardware, self.code.instructions, memory, writable)
        return result_in(self.tiling, memory), simulated

    def with_instructions(self, instructions: np.ndarray) -> "Scheduled":
        return replace(self, code=replace(self.code, instructions=instructions))


def gemm(**values: int) -> Scheduled:
    """A product of 24 x 40 x 48 in several tiles along each axis, with two slots of everything."""
    sizes = {"tile_n": 32, "tile_k": 16, "tile_m": 8, "load_slots": 2, "store_slots": 2, "order": 0, "loops": 0}
    text = ",".join(f"{name}={value}" for name, value in (sizes | values).items())
    return Scheduled.of("gemm:m=24,n=40,k=48,dtype=int8,epilogue=bias+relu", text)
