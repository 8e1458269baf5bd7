"""The strategy in docs/add_a_strategy.md passes the suite, as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

from flextune.search import strategy_registry
from flextune.search.strategy_registry import create_strategy
from flextune.testing.strategies import SMALL, solved

_PAGE = Path(__file__).parents[2] / "docs" / "add_a_strategy.md"


def documented():
    """What the code of the page defines; it registers its strategy in a registry of its own."""
    names = {"__name__": __name__}
    own = pytest.MonkeyPatch()
    own.setattr(strategy_registry, "_STRATEGIES", strategy_registry.Registry("strategy", {}))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)):
        exec(compile(block, f"{_PAGE.name}, block {number}", "exec", dont_inherit=True), names)
    strategy = create_strategy("near-best", solved(SMALL), rng=np.random.default_rng(0), options={"centres": "5"})
    own.undo()
    assert strategy.options.centres == 5
    return names["TestNearBest"]


TestNearBest = documented()
