"""`flextune strategies`, and options of strategies on the command line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.cli.inputs import read_strategy_options
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.platforms import platform_registry
from flextune.search import extras
from flextune.search.strategy_registry import strategy_names
from flextune.target.target import Target
from flextune.workload.parse import parse_workload

Run = Callable[..., tuple[int, str, str]]
NULL = "null:cpu=none,cores=1"
GEMM = "gemm:m=16,n=16,k=16"


def test_every_strategy_is_listed_with_its_options(run: Run) -> None:
    code, out, _ = run("strategies", "--json")
    assert code == 0
    listed = {strategy["name"]: strategy for strategy in json.loads(out)["strategies"]}
    assert tuple(listed) == strategy_names()
    assert listed["random"]["summary"].startswith("Uniform sampling")
    assert listed["random"]["options"][0] == {
        "name": "round_size",
        "type": "int",
        "default": "16",
        "limits": "from 1 to 1024",
    }
    assert listed["optuna"]["extra"] == "optuna"
    assert listed["annealing"]["source"]


def test_the_list_for_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "optuna", "no_such_module_at_all")
    code, out, _ = run("strategies", "exhaustive", "optuna")
    assert code == 0
    assert out.startswith("exhaustive\n  Brute force")
    assert "one of rank, shuffled" in out
    assert "Not installed: pip install 'flextune[optuna]'" in out
    assert "annealing" not in out


def test_an_unknown_strategy_ends_with_2(run: Run) -> None:
    code, out, err = run("strategies", "anealing")
    assert (code, out) == (2, "")
    assert "did you mean 'annealing'?" in err


def test_tune_takes_options(run: Run, tmp_path: Path) -> None:
    """In the order of ranks, the trials are the first solutions besides the default; shuffled, they are others."""
    space = platform_registry.get("null").search_space(parse_workload(GEMM), Target.parse(NULL))
    others = (assignment for assignment in space.solutions if assignment != space.default)
    first = {str(assignment) for assignment in (space.default, *itertools.islice(others, 4))}
    for order in ("rank", "shuffled"):
        code, out, err = run(
            *("tune", GEMM, "--target", NULL, "--trials", "5", "--db", f"{order}.db", "--json"),
            *("--strategy", "exhaustive", "--strategy-option", f"order={order}"),
        )
        assert code == 0, err
        assert json.loads(out)["strategy"] == "exhaustive"
        with open_database(tmp_path / f"{order}.db") as database:
            asked = {record.assignment for record in database.records()}
        assert len(asked) == 5
        assert (asked == first) is (order == "rank")


def test_tune_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "optuna", "no_such_module_at_all")
    code, out, err = run("tune", GEMM, "--target", NULL, "--trials", "5", "--strategy", "optuna")
    assert (code, out) == (2, "")
    assert "pip install 'flextune[optuna]'" in err


def test_options_are_read_from_words() -> None:
    assert read_strategy_options(None) == ()
    assert read_strategy_options(["a=1", "b=x=y", "a=2"]) == (("a", "2"), ("b", "x=y"))
    for text in ("a", "=1", ""):
        with pytest.raises(UsageError, match="expected --strategy-option NAME=VALUE"):
            read_strategy_options([text])
