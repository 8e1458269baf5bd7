"""What a peer makes of a case: something to call again and again, and its output."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flextune.measure.data import KernelData
from flextune.platforms.base import Array
from flextune.target.target import Target
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

BFLOAT16_ROUNDING = 2.0**-8
"""Relative error of a result that a peer gives as bfloat16."""


class UnsupportedError(Exception):
    """The peer has no such operator; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Job:
    """A case as its processes read it: everything in `folder`, arrays as `flextune.measure.data` writes them.

    `cores` are the logical processors to run on, one per physical core; each peer uses as many threads.
    """

    folder: str
    workload_text: str
    target_text: str
    cores: tuple[int, ...]
    trials: int
    seed: int
    batch_secs: float
    warm_secs: float

    @property
    def workload(self) -> Workload:
        return parse_workload(self.workload_text)

    @property
    def target(self) -> Target:
        return Target.parse(self.target_text)

    @property
    def threads(self) -> int:
        return len(self.cores)

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def write(self) -> None:
        (self.path / "job.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: str) -> Job:
        values = json.loads((Path(folder) / "job.json").read_text())
        return cls(**{**values, "cores": tuple(values["cores"])})


@dataclass(frozen=True, slots=True)
class Call:
    """`run` computes once; `output` gives the result of the last run in the workload's own shape and type.

    `variant` names the way that was taken where a peer has several. `rounding` is the relative error that the peer's
    type of output adds, where that is narrower than the workload's.
    """

    run: Callable[[], object]
    output: Callable[[], Array]
    variant: str = ""
    rounding: float = 0.0


Prepare = Callable[[Job, KernelData], Sequence[Call]]
"""The ways a peer can compute the case, at least one; the fastest is taken. Raises `UnsupportedError`."""
