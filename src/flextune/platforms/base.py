"""What a hardware family provides: its schedule space, its code generation, and kernels that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from flextune.target.board import Board
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.work import Work
from flextune.workload.workload import Workload

if TYPE_CHECKING:  # these load TVM, which not every platform needs
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
        """Seconds per call of `repeats` runs of `number` calls each; other costs where the device has no clock here.

        Single calls are timed as they are; before runs of several there may be calls that are not counted.
        """
        ...


@runtime_checkable
class CountedKernel(Protocol):
    """What a kernel has as well whose cost is counted in parts; the runner of its kind of target is no clock.

    Its `time` gives costs per call in the unit of that runner (`flextune.target.kind.TargetKind.runners`).
    """

    def parts(self) -> Mapping[str, float]:
        """What the last cost of one call is made of, by name."""
        ...


@runtime_checkable
class DevicePlatform(Protocol):
    """What a platform has as well whose device takes addresses that no kernel asks for, such as a GPU's driver."""

    def open_device(self, device: int = 0) -> None:
        """Make this process able to use a device; a worker does so before it limits the memory of candidates."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A kernel as a text for people, or for a vendor's tools."""

    language: str
    """What it is written in, such as `CUDA C++`."""
    text: str
    is_compiled_by_driver: bool = False
    """Whether that is left to the device: then `build` checks it, and compiles nothing."""


@runtime_checkable
class SourcePlatform(Protocol):
    """What a platform has as well that can show what it builds."""

    def source(self, candidate: Candidate) -> Source:
        """The code that `build` compiles, by no tool that is not part of flextune; raises as `build` does."""
        ...


@runtime_checkable
class BoardPlatform(Protocol):
    """What a platform has as well whose programs run on other machines (`TargetKind.boards`)."""

    def load_on(self, board: Board, artifact: Artifact, target: Target, limit_secs: float) -> Kernel:
        """The program on a board, on all cores of the target; it is killed there after `limit_secs`."""
        ...


class Platform(Protocol):
    """One hardware family. Its folder is `flextune/platforms/<name>`; `name` is the `kind` of its targets."""

    name: str

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        """The space of schedules of a workload; raises `UsageError` when no rule knows the operator."""
        ...

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        """An artifact of each candidate, all of one target (at least one), in order.

        Candidates that are built together may share the cost of it. Raises as soon as one of them cannot be built:
        `ScheduleError` on an illegal step, `BuildError` where there is no code for it.
        """
        ...

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        """The program on a device of this machine, ready to be bound to inputs.

        The artifact is all that is needed: it may have been built by another process, or on another machine. Raises
        `BuildError` for what is no artifact of this platform.
        """
        ...

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        """What one well scheduled kernel that does this work takes, unmeasured; in seconds, or cycles without a clock.

        `peaks` are the measured ones of the machine that is this target, where they are known. Fusion, layouts, what
        a group is made of and the roofline ask this (`flextune.platforms.estimator`); it only decides what is tried.
        """
        ...
