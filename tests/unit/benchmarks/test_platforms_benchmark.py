"""The benchmark of platforms: its rows, its JSON, and families whose tools are missing."""

import json

import pytest

from benchmarks.platforms import __main__ as command
from benchmarks.platforms.case import PlatformCase
from flextune.errors import EnvironmentFault, UsageError
from flextune.trial.cost import CostOrigin, Unit


def case(correct: bool = True, cost: float = 110.0) -> PlatformCase:
    return PlatformCase("null:any", "gemm", correct, cost, Unit.CYCLES, CostOrigin.SIMULATED, 100.0, 200.0)


def run(monkeypatch, tmp_path, cases) -> tuple[int, dict[str, object]]:
    monkeypatch.setattr(command, "family_names", lambda: ("one",))
    monkeypatch.setattr(command, "cases_of", lambda name: cases)
    code = command.main(["--json", str(tmp_path / "cases.json")])
    return code, json.loads((tmp_path / "cases.json").read_text())


def test_cases_are_written_with_unit_and_origin(monkeypatch, tmp_path, capsys):
    code, found = run(monkeypatch, tmp_path, lambda: [case(), case(cost=27.5)])
    assert code == 0
    assert found["cases"][0] == {
        "platform": "null",
        "target": "null:any",
        "case": "gemm",
        "correct": True,
        "cost": 110.0,
        "unit": "cycles",
        "origin": "simulated",
        "ideal": 100.0,
        "default": 200.0,
    }
    printed = capsys.readouterr().out
    assert "1.100" in printed
    assert "0.550" in printed  # the geometric mean of 1.1 and 0.275


def test_a_wrong_case_is_a_failure(monkeypatch, tmp_path, capsys):
    code, found = run(monkeypatch, tmp_path, lambda: [case(correct=False)])
    assert code == 1
    assert found["cases"][0]["correct"] is False
    assert "WRONG" in capsys.readouterr().out


def test_what_is_missing_is_named(monkeypatch, tmp_path, capsys):
    def cases():
        raise EnvironmentFault("no emulator: apt-get install emulator")

    code, found = run(monkeypatch, tmp_path, cases)
    assert (code, found["cases"]) == (0, [])
    assert "apt-get install emulator" in found["missing"]["one"]
    assert "left out: one: no emulator" in capsys.readouterr().out


def test_numbers_that_are_none_are_refused():
    with pytest.raises(UsageError, match="positive cost"):
        case(cost=0.0)


def test_every_family_beside_it_has_cases():
    assert all(callable(command.cases_of(name)) for name in command.family_names())
