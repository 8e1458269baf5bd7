"""Rules that must be called for every configuration, of too many: exact for what is drawn, and drawn evenly."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping

import numpy as np
import pytest

from flextune.csp.parameter_space import ParameterSpace
from flextune.errors import UsageError
from flextune.tuning.minimize import minimize

PARAMETERS = {f"p{n}": range(10) for n in range(8)}


def hashed(p0: int, p1: int, p2: int, p3: int, p4: int, p5: int, p6: int, p7: int) -> bool:
    return zlib.crc32(bytes((p0, p1, p2, p3, p4, p5, p6, p7))) % 3 == 0


def never(**values: int) -> bool:
    return zlib.crc32(bytes(values.values())) < 0


def test_what_is_drawn_keeps_all_rules_and_is_spread_evenly() -> None:
    space = ParameterSpace.of(PARAMETERS, [hashed, "p0 != p1", "p2 + p3 <= 9"])
    with pytest.warns(UserWarning, match="hashed"):
        solutions = space.solutions
    assert solutions.count > 10_000
    rows = [space.values(each) for each in solutions.sample_distinct(np.random.default_rng(0), 2000)]
    assert all(hashed(**row) and row["p0"] != row["p1"] and row["p2"] + row["p3"] <= 9 for row in rows)
    counts = np.bincount([row["p7"] for row in rows], minlength=10)
    assert counts.min() > 120
    assert counts.max() < 280
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = ParameterSpace.of(PARAMETERS, [hashed, "p0 != p1", "p2 + p3 <= 9"]).solutions
    assert again.count == solutions.count
    assert again.unrank(17) == solutions.unrank(17)


@pytest.mark.filterwarnings("ignore:.*drawn at random")
def test_what_somebody_names_is_among_them_if_it_keeps_the_rules() -> None:
    rng = np.random.default_rng(1)
    rows = [
        {name: int(value) for name, value in zip(PARAMETERS, row, strict=True)} for row in rng.integers(0, 10, (99, 8))
    ]
    good = [row for row in rows if hashed(**row)]
    bad = next(row for row in rows if not hashed(**row))
    seen: list[Mapping[str, object]] = []
    minimize(
        lambda p: float(sum(p.values())),
        PARAMETERS,
        8,
        constraints=hashed,
        default=good[0],
        enqueue=good[1:4],
        on_trial=lambda trial: seen.append(trial.values),
    )
    assert seen[:4] == good[:4]
    assert all(hashed(**row) for row in seen)
    with pytest.raises(UsageError, match="breaks a constraint"):
        minimize(lambda p: 0.0, PARAMETERS, 8, constraints=hashed, default=bad)


def test_a_rule_that_nothing_keeps_is_said() -> None:
    with pytest.raises(UsageError, match="none of a million"):
        _ = ParameterSpace.of(PARAMETERS, never).solutions


def test_where_other_rules_leave_few_all_are_looked_at() -> None:
    equal = [f"p0 == p{n}" for n in range(2, 8)]
    space = ParameterSpace.of(PARAMETERS, [hashed, *equal])
    wanted = [(a, b) for a in range(10) for b in range(10) if hashed(a, b, *(a,) * 6)]
    assert space.solutions.count == len(wanted)
