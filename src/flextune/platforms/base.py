"""What a hardware family provides: its schedule space, its code generation, and kernels that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flextune.schedule.apply import ScheduledProgram
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload

Array = npt.NDArray[np.generic]


class Kernel(Protocol):
    """A built program on its device; the worker checks and times it through these three."""

    def bind(self, inputs: Sequence[Array]) -> None:
        """Place the inputs (one array per `workload.inputs`, constants packed here) and room for the outputs."""
        ...

    def run(self, poison: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Fill the outputs with `poison`, call once, and return (inputs afterwards, outputs) as seen on the device.

        Packed constants are left out of the inputs: their place holds an empty array.
        """
        ...

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        """Seconds per call of `repeats` runs of `number` calls each, after one call that is not counted."""
        ...


class Platform(Protocol):
    """One hardware family. Its folder is `flextune/platforms/<name>`; `name` is the `kind` of its targets."""

    name: str

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        """The space of schedules of a workload; raises `UsageError` when no rule knows the operator."""
        ...

    def lower(self, candidate: Candidate) -> ScheduledProgram:
        """Apply the trace, with the platform's intrinsics registered; raises `ScheduleError` on an illegal step."""
        ...

    def build(self, module: Any, target: Target) -> Any:
        """Generate code for a TVM `IRModule` and return the loaded runtime module (its functions compiled)."""
        ...

    def kernel(self, candidate: Candidate) -> Kernel:
        """`lower` and `build`, ready to be bound to inputs."""
        ...
