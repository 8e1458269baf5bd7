"""What a hardware family provides: its schedule space, its code generation, and kernels that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload

if TYPE_CHECKING:  # these load TVM, which not every platform needs
    from flextune.schedule.apply import ScheduledProgram
    from flextune.schedule.space import SearchSpace

Array = npt.NDArray[np.generic]


class Kernel(Protocol):
    """A built program on its device; the worker checks and times it through these three."""

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Run on these arrays from now on; constants that the program wants packed are packed here.

        The arrays are contiguous, writable, and start at a multiple of 64 bytes. A kernel on the host uses them in
        place, so that all candidates meet the same memory.
        """
        ...

    def run(self) -> None:
        """Call once, starting from what the bound outputs hold; afterwards they hold the results."""
        ...

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        """Seconds per call of `repeats` runs of `number` calls each.

        Single calls are timed as they are; before runs of several there may be calls that are not counted.
        """
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

    def kernels(self, candidates: Sequence[Candidate]) -> Sequence[Kernel]:
        """A kernel of each candidate, all of one target (at least one), ready to be bound to inputs.

        Kernels that are built together may share the cost of it. Raises as soon as one of them cannot be built.
        """
        ...
