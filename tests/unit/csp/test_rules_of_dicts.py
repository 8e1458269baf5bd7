"""Rules that take one dict, and conditions in texts: the same sets as looking at every configuration gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import pytest

from flextune.csp.parameter_space import ParameterSpace
from flextune.errors import UsageError

VALUES: dict[str, list[object]] = {"x": [1, 2, 3, 6], "y": [1, 2, 4], "mode": ["a", "b"], "flag": [True, False]}
TABLE = {1: 3, 2: 1, 3: 6, 6: 2}

RULES: list[Callable[[Mapping[str, object]], object]] = [
    lambda p: p["x"] > p["y"],  # type: ignore[operator]
    lambda p: p["x"] % p["y"] == 0 if p["flag"] else p["mode"] == "a",  # type: ignore[operator]
    lambda p: TABLE[p["x"]] <= p["y"],  # type: ignore[index, operator]
    lambda p: p.get("z", 2) == p["x"] or len(p) == 3,
    lambda p: sum(v == 1 for v in (p["x"], p["y"])) == 1,
    lambda p: str(p["x"]) + str(p["mode"]) != "1a",
]
TEXTS = ["x > y if flag else mode == 'b'", "not (x == 1 if y > 1 else y == 2)", "6 // (x - 1) > 2 if x > 1 else flag"]


def found(rule: object) -> set[tuple[object, ...]]:
    space = ParameterSpace.of(VALUES, [rule])  # type: ignore[arg-type, list-item]
    return {tuple(space.values(each).values()) for each in space.solutions}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_may_take_a_dict(rule: Callable[[Mapping[str, object]], object]) -> None:
    rows = itertools.product(*VALUES.values())
    assert found(rule) == {row for row in rows if rule(dict(zip(VALUES, row, strict=True)))}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_may_have_conditions(text: str) -> None:
    rows = itertools.product(*VALUES.values())
    assert found(text) == {row for row in rows if eval(text, dict(zip(VALUES, row, strict=True)))}  # noqa: S307


def test_what_a_misspelt_argument_got_is_said() -> None:
    with pytest.raises(UsageError, match="it got a dict"):
        _ = ParameterSpace.of(VALUES, lambda xx: xx > 3).solutions
