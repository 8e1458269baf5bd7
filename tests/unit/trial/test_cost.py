"""Costs: parts, and what they come to."""

from __future__ import annotations

import math

import pytest

from flextune.errors import UsageError
from flextune.trial.cost import Cost, CostOrigin, Unit


def test_computing_and_moving_overlap_and_the_launch_does_not() -> None:
    assert Cost(compute=3.0, memory=2.0, launch=0.5).total == 3.5
    assert Cost(compute=1.0, memory=2.0, launch=0.5).total == 2.5


def test_it_says_what_it_is() -> None:
    cost = Cost(0.0, 0.0, 0.0)
    assert (cost.unit, cost.origin) == (Unit.SECONDS, CostOrigin.MODELLED)


@pytest.mark.parametrize("part", [-1.0, math.inf, math.nan])
def test_a_part_is_a_number(part: float) -> None:
    with pytest.raises(UsageError, match="expected memory"):
        Cost(0.0, part, 0.0)
