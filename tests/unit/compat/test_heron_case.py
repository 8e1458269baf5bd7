"""The files of a case."""

from __future__ import annotations

import ast
import csv
import json
import math
from pathlib import Path

from flextune.compat.heron_case import CaseFolder, RoundStatistics


def rows(path: Path) -> list[list[str]]:
    with (path / "stat.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_rounds_are_rows_and_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    folder = CaseFolder(tmp_path / "out" / "G1")
    folder.create(resumed=False)
    folder.add_round(RoundStatistics(1, 1, math.inf, math.inf, 1, 0.5))
    folder.add_round(RoundStatistics(2, 17, 0.001, 0.002, 1, 1.5))
    assert rows(folder.path) == [
        ["round", "trials", "best", "mean", "failed", "secs"],
        ["1", "1", "", "", "1", "0.5"],
        ["2", "17", "0.001", "0.002", "1", "1.5"],
    ]


def test_a_resumed_case_keeps_its_rows_and_a_new_one_starts_over(tmp_path: Path) -> None:
    folder = CaseFolder(tmp_path)
    folder.create(resumed=False)
    folder.add_round(RoundStatistics(1, 1, 1.0, 1.0, 0, 1.0))
    folder.create(resumed=True)
    assert len(rows(tmp_path)) == 2
    folder.create(resumed=False)
    assert len(rows(tmp_path)) == 1


def test_the_schedule_is_python_that_parses(tmp_path: Path) -> None:
    folder = CaseFolder(tmp_path)
    folder.write_schedule("a, b = sch.split(i, [2, 4])\nsch.parallel(a)", "gemm:m=8", "i=2", "1 ms")
    text = (tmp_path / "schedule.py").read_text()
    ast.parse(text)
    assert "# gemm:m=8" in text
    assert "sch.parallel(a)" in text
    assert "1 ms" in text


def test_constraints_are_json(tmp_path: Path) -> None:
    facts = {"variables": [{"name": "i", "values": [1, 2]}], "constraints": []}
    CaseFolder(tmp_path).write_constraints(facts)
    assert json.loads((tmp_path / "constraints.json").read_text()) == facts
