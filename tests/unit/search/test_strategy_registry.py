import subprocess
import sys

import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.search import extras
from flextune.search.evolution.cga import CgaStrategy
from flextune.search.strategy_registry import (
    create_strategy,
    register_strategy,
    strategy_names,
    strategy_options,
    strategy_text,
)
from flextune.testing.strategies import SMALL, solved


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_says_what_it_is(name):
    text = strategy_text(name)
    assert text.summary.endswith(".")
    assert len(text.summary) < 130
    assert text.extra in ("", *extras.EXTRAS)
    assert text.options == strategy_options(name)
    assert name in ("random", "auto") or text.source


def test_options_are_listed():
    assert [text.name for text in strategy_options("random")] == ["round_size", "population", "epsilon"]


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match=r"unknown strategy 'cag': expected one of .*random, .*; did you mean 'cga'\?"):
        create_strategy("cag", solved(SMALL), rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"unknown strategy option 'generation'.*did you mean 'generations'\?"):
        create_strategy("cga", solved(SMALL), rng=np.random.default_rng(0), options={"generation": "2"})
    with pytest.raises(UsageError, match="strategy 'cga' is registered already"):
        register_strategy("cga", CgaStrategy)


def test_strategies_are_described_without_the_extras():
    script = """
import sys
for name in ("torch", "optuna", "scipy", "sklearn", "xgboost"):
    sys.modules[name] = None
from flextune.search.strategy_registry import strategy_names, strategy_text
assert all(strategy_text(name).summary for name in strategy_names())
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_optuna_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"needs Optuna .* pip install 'flextune\[optuna\]'"):
        create_strategy("optuna", solved(SMALL), rng=np.random.default_rng(0))


def test_an_extra_is_installed_or_not(monkeypatch):
    assert extras.is_installed("")
    monkeypatch.setitem(extras.EXTRAS, "pytest", "pytest")
    monkeypatch.setitem(extras.EXTRAS, "none", "no_such_module_at_all")
    assert extras.is_installed("pytest")
    assert not extras.is_installed("none")
