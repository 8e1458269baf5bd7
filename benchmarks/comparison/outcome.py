"""What came of a live run, one JSON line each, so that a comparison that is stopped goes on where it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from flextune.errors import UsageError


@dataclass(frozen=True, slots=True)
class LiveRun:
    """One strategy's trials on one workload, in order, the default schedule first.

    `trial_secs` is each trial's median time in seconds (infinity for a failure), `ended_secs` when each was over, in
    seconds from the run's start: building, timing and thinking. `best` is the winner's assignment.
    """

    workload: str
    strategy: str
    seed: int
    trial_secs: tuple[float, ...]
    ended_secs: tuple[float, ...]
    best: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self.workload, self.strategy, self.seed

    def best_after(self, trials: int, *, with_default: bool = True) -> float:
        """The best time within so many trials; infinity before the first success."""
        return min(self.trial_secs[0 if with_default else 1 : trials], default=math.inf)

    def best_within(self, secs: float) -> float:
        """The best time of the trials that were over by then."""
        return min(
            (t for t, end in zip(self.trial_secs, self.ended_secs, strict=True) if end <= secs), default=math.inf
        )

    def trials_to(self, secs: float, *, with_default: bool = True) -> float:
        """The number of the first trial that is at least so fast, infinity where none is.

        Without the default, it is left out and not counted.
        """
        skipped = 0 if with_default else 1
        reached = (number for number, time in enumerate(self.trial_secs[skipped:], 1) if time <= secs)
        return next(reached, math.inf)

    def to_json(self) -> str:
        values = asdict(self)
        values["trial_secs"] = [time if math.isfinite(time) else None for time in self.trial_secs]
        return json.dumps({"run": values})

    @classmethod
    def from_values(cls, values: dict[str, object]) -> LiveRun:
        times = tuple(math.inf if time is None else float(time) for time in values["trial_secs"])  # type: ignore[attr-defined]
        return cls(**{**values, "trial_secs": times, "ended_secs": tuple(values["ended_secs"])})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The winners of all runs of one workload and seed, timed in turns: median seconds of each strategy's."""

    workload: str
    seed: int
    secs: dict[str, float]

    @property
    def key(self) -> tuple[str, int]:
        return self.workload, self.seed

    def to_json(self) -> str:
        return json.dumps({"judgement": asdict(self)})


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All lines of a file."""

    about: dict[str, object]
    runs: tuple[LiveRun, ...]
    judgements: tuple[Judgement, ...]

    @property
    def workloads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.workload for run in self.runs))

    @property
    def strategies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.strategy for run in self.runs))

    def of(self, workload: str, strategy: str) -> tuple[LiveRun, ...]:
        """The runs of one strategy on one workload, by seed."""
        found = (run for run in self.runs if (run.workload, run.strategy) == (workload, strategy))
        return tuple(sorted(found, key=lambda run: run.seed))

    def best_ever(self, workload: str) -> float:
        """The shortest time of any trial of the workload."""
        return min(min(run.trial_secs) for run in self.runs if run.workload == workload)


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file; an unfinished last line is left out. `UsageError` for another kind of file."""
    about: dict[str, object] = {}
    runs: list[LiveRun] = []
    judgements: list[Judgement] = []
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            about = values.get("about", about)
            runs += [LiveRun.from_values(values["run"])] if "run" in values else []
            judgements += [Judgement(**values["judgement"])] if "judgement" in values else []
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number < len(lines):
                raise UsageError(f"{path}, line {number}: not an outcome of a comparison: {error}") from None
    return Outcomes(about, tuple(runs), tuple(judgements))


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines; what was written of an unfinished one is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(line + "\n" for line in lines).encode())
