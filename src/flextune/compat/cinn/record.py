"""The file of a search: what was tuned for which sizes, then a line for each trial; JSON, never executed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flextune.errors import UsageError
from flextune.printable import json_values
from flextune.trial.measurement import Status
from flextune.trial.variant import Variant
from flextune.tuning.variants.points import Grid
from flextune.tuning.variants.study import VariantTrial
from flextune.workload.dim import Dim

FORMAT = "flextune-cinn-1"


@dataclass(frozen=True, slots=True)
class Head:
    """What the trials of a file are about."""

    name: str
    layout: str
    dims: tuple[Dim, ...]
    programs: tuple[str, ...]
    """A check sum of each program that is tuned."""
    target: str
    sizes: tuple[tuple[int, ...], ...]
    """Of each dimension, those that are measured."""
    loss: float

    @property
    def grid(self) -> Grid:
        return Grid(self.dims, self.sizes)

    def line(self) -> str:
        values = {
            "format": FORMAT,
            "name": self.name,
            "layout": self.layout,
            "dims": [str(dim) for dim in self.dims],
            "programs": list(self.programs),
            "target": self.target,
            "sizes": [list(each) for each in self.sizes],
            "loss": self.loss,
        }
        return json.dumps(values)


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration with the schedule that it says of each program, and their times: [program][point]."""

    config: Mapping[str, int]
    variants: tuple[Variant, ...]
    status: Status
    error: str
    run_secs: tuple[tuple[tuple[float, ...], ...], ...]
    """The repeats of each program at each point of the grid; none where it was not measured there."""

    def line(self) -> str:
        values: dict[str, Any] = {
            "config": dict(self.config),
            "status": str(self.status),
            "error": self.error,
            "run_secs": [[list(repeats) for repeats in each] for each in self.run_secs],
            "variants": [json.loads(each.to_json()) for each in self.variants],
        }
        return json.dumps(values)

    @classmethod
    def of(cls, config: Mapping[str, int], trials: Sequence[VariantTrial], points: Sequence[tuple[int, ...]]) -> Trial:
        """From what was measured of each program."""
        failed = next((each for each in trials if each.status is not Status.OK), None)
        times = tuple(tuple(each.run_secs.get(point, ()) for point in points) for each in trials)
        status, error = (Status.OK, "") if failed is None else (failed.status, failed.error)
        return cls(config, tuple(each.variant for each in trials), status, error, times)

    def secs(self, program: int) -> np.ndarray:
        """Seconds at each point: the median, NaN where it was not measured, infinite for a trial that failed."""
        if self.status is not Status.OK:
            return np.full(len(self.run_secs[program]) if self.run_secs else 0, math.inf)
        return np.array([float(np.median(each)) if each else math.nan for each in self.run_secs[program]])


def read_record(path: Path) -> tuple[Head, tuple[Trial, ...]]:
    """UsageError naming the file and the line for what is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UsageError(f"no record file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the record {path}: {error}") from None
    if not lines:
        raise UsageError(f"{path} is empty: expected the record of a search")
    head = _parsed(path, 1, lines[0], _head)
    whole = lines[1:] if not lines[-1] or lines[-1].endswith("}") else lines[1:-1]  # a search may end in mid-line
    trials = tuple(_parsed(path, number, line, _trial) for number, line in enumerate(whole, 2) if line.strip())
    if strange := [trial for trial in trials if len(trial.variants) != len(head.programs)]:
        raise UsageError(f"{path}: a trial has {len(strange[0].variants)} schedules for {len(head.programs)} programs")
    return head, trials


def _parsed(path: Path, number: int, line: str, read: Any) -> Any:
    try:
        raw = json_values(line)
        if not isinstance(raw, dict):
            raise TypeError("not an object")
        return read(raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}, line {number}: no record of a search with flextune.compat.cinn: {error}") from None


def _head(raw: Mapping[str, Any]) -> Head:
    if raw.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {raw.get('format')!r:.40}")
    sizes = tuple(tuple(int(size) for size in each) for each in raw["sizes"])
    dims = tuple(Dim.parse(str(each)) for each in raw["dims"])
    programs = tuple(map(str, raw["programs"]))
    head = Head(str(raw["name"]), str(raw["layout"]), dims, programs, str(raw["target"]), sizes, float(raw["loss"]))
    assert head.grid.points  # which checks it
    return head


def _trial(raw: Mapping[str, Any]) -> Trial:
    times = tuple(tuple(tuple(float(secs) for secs in repeats) for repeats in each) for each in raw["run_secs"])
    variants = tuple(Variant.from_json(json.dumps(each)) for each in raw["variants"])
    config = {str(name): int(value) for name, value in raw["config"].items()}
    return Trial(config, variants, Status(raw["status"]), str(raw["error"]), times)
