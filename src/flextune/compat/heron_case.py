"""What a run of a Heron configuration leaves in a case's folder: records, statistics, schedule and constraints."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from flextune.database.database import Database
from flextune.database.jsonl import export_jsonl


@dataclass(frozen=True, slots=True)
class RoundStatistics:
    """One row of `stat.csv`; costs in seconds, or in what the target's are counted in, empty where nothing ran.

    `trials` and `failed` count from the start.
    """

    round: int
    """From 1."""
    trials: int
    best: float
    """The fastest so far."""
    mean: float
    """Of what ran in this round."""
    failed: int
    secs: float
    """Since the start."""


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """The folder of one case. Every file is there from the start, so that an interrupted run leaves what it has."""

    path: Path

    def create(self, resumed: bool) -> None:
        """Makes the folder and an empty `stat.csv`; a resumed case goes on with the rows it has."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (resumed and self._statistics.exists()):
            self._append([field.name for field in fields(RoundStatistics)], mode="w")

    def add_round(self, row: RoundStatistics) -> None:
        shown = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in astuple(row)]
        self._append(["" if text in ("inf", "nan") else text for text in shown], mode="a")

    def write_constraints(self, facts: Mapping[str, object]) -> None:
        """`constraints.json`: variables, constraints with reasons, and the text that `Problem.parse` reads."""
        self._write("constraints.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")

    def write_schedule(self, code: str, workload: str, assignment: str, cost: str) -> None:
        """`schedule.py`: the best schedule as readable TVM calls; none where the assignment says all."""
        lines = [f"# {workload}", f"# {assignment}", f"# {cost}", "", "def apply(sch):"]
        body = [f"    {line}" for line in code.splitlines()] or ["    pass"]
        self._write("schedule.py", "\n".join([*lines, *body]) + "\n")

    def write_records(self, database: Database, workload_key: str) -> int:
        """`records.jsonl`: every trial of the case; returns their number."""
        return export_jsonl(database, self.path / "records.jsonl", workload_key)

    @property
    def _statistics(self) -> Path:
        return self.path / "stat.csv"

    def _append(self, row: list[str], mode: str) -> None:
        with self._statistics.open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")
