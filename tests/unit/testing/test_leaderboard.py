from dataclasses import dataclass

import numpy as np
import pytest

from flextune.testing import leaderboard
from flextune.testing.leaderboard import TabularStrategy

PARAMETERS = {"block": [16, 32, 64], "layout": ["row", "column"], "scale": [0.5, 2.0], "cached": [True, False]}


@dataclass
class Described:
    parameters: dict
    index: np.ndarray
    budget: int = 50


def described() -> Described:
    grid = np.array([(a, b, c, d) for a in range(3) for b in range(2) for c in range(2) for d in range(2)])
    return Described(PARAMETERS, grid[grid.sum(axis=1) != 3])


def secs(config: dict) -> float | None:
    return None if config["cached"] else config["block"] * config["scale"] * (1 + (config["layout"] == "row"))


def rows(description: Described) -> set:
    lists = list(description.parameters.values())
    return {tuple(values[i] for values, i in zip(lists, row, strict=True)) for row in description.index.tolist()}


@pytest.mark.parametrize("name", ["random", "local_search", "local-search", "auto"])
def test_asks_all_rows_once(name):
    description = described()
    strategy = getattr(leaderboard, name)(description, 3)
    asked = []
    while answer := strategy.ask(2):
        asked += [tuple(config.values()) for config in answer]
        strategy.tell([(config, secs(config)) for config in answer])
    assert len(asked) == len(description.index)
    assert set(asked) == rows(description)


def test_a_seed_is_a_run():
    description = described()
    first, same, other = (leaderboard.random(description, seed).ask(10) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_told_of_what_it_never_asked():
    description = described()
    strategy = TabularStrategy("auto", description, 0, {"start": "2"})
    config = dict(zip(PARAMETERS, (16, "row", 0.5, True), strict=True))
    strategy.tell([(config, None)])
    while answer := strategy.ask(3):
        assert config not in answer
        strategy.tell([(each, secs(each)) for each in answer])


def test_an_unknown_strategy_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no strategy 'atuo'"):
        leaderboard.atuo  # noqa: B018


def test_spaces_of_one_index_share_their_solutions():
    description = described()
    again = Described(PARAMETERS, description.index)
    codes = {key: leaderboard._codes(values) for key, values in PARAMETERS.items()}
    assert leaderboard._solutions(description, codes) is leaderboard._solutions(again, codes)
