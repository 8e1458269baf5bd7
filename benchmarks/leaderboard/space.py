"""A recorded space as the leaderboard and the peers need it: rows of positions, true times, and what each row costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.baseline import Numbers
from flextune.database.space_files import load_space
from flextune.errors import UsageError
from flextune.trial.tabular import TabularSpace

Row = tuple[int, ...]

OWN_SPACES = Path(__file__).parents[1] / "spaces"
"""The project's own open data."""


@dataclass(frozen=True, eq=False)
class RecordedSpace:
    """A measured space under the name of its file."""

    name: str
    tabular: TabularSpace

    @classmethod
    def load(cls, path: Path) -> RecordedSpace:
        """A Kernel Tuner cache or T4 file. `UsageError` for one that cannot be read, or that holds failures only."""
        space = cls(space_name(path), load_space(path))
        if not math.isfinite(space.tabular.optimum_secs):
            raise UsageError(f"{path}: every configuration failed, there is nothing to find")
        return space

    def __len__(self) -> int:
        return len(self.tabular)

    @cached_property
    def values(self) -> Mapping[str, tuple[object, ...]]:
        """The values of each parameter, numbers in their order."""
        return {parameter.name: parameter.ordered for parameter in self.tabular.parameters.parameters}

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The position of each parameter's value in `values`, one row per configuration."""
        columns = self.tabular.assignments.columns
        found = [
            np.searchsorted(np.array(sorted(parameter.codes.values())), columns[name]).tolist()
            for name, parameter in zip(
                self.tabular.parameters.variable_names, self.tabular.parameters.parameters, strict=True
            )
        ]
        return tuple(zip(*found, strict=True))

    @cached_property
    def row_of(self) -> Mapping[Row, int]:
        return {row: index for index, row in enumerate(self.rows)}

    def labels(self, row: int) -> tuple[object, ...]:
        """The values of a row as they were recorded."""
        return tuple(values[index] for values, index in zip(self.values.values(), self.rows[row], strict=True))

    @cached_property
    def repeats(self) -> tuple[Numbers, ...]:
        """Every recorded time of each row in seconds; none where it failed."""
        return tuple(np.array(trial.run_secs, dtype=np.float64) for trial in self.tabular.trials)

    @cached_property
    def secs(self) -> Numbers:
        """The mean time of each row in seconds, NaN for failures."""
        return np.where(np.isfinite(self.tabular.secs), self.tabular.secs, np.nan)

    @cached_property
    def optimum_secs(self) -> float:
        return self.tabular.optimum_secs

    @cached_property
    def cost_secs(self) -> Numbers:
        """What one evaluation of each row took: building and timing."""
        return self.tabular.charged_secs


def space_name(path: Path) -> str:
    """The file's name without endings: several files may hold the same program, on different devices."""
    return path.name.partition(".")[0]


def space_files(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The `.json` and `.json.gz` files of folders, in the order of their names, and files named themselves."""
    found: list[Path] = []
    for path in folders:
        if not path.exists():
            raise UsageError(f"no such file or folder: {path}")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found.extend(file for file in files if file.name.endswith((".json", ".json.gz")))
    if not found:
        raise UsageError(f"no .json or .json.gz file in {', '.join(map(str, folders))}")
    return tuple(found)
