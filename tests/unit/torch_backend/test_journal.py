"""What became of graphs can be asked for, is logged, and is warned of once for each kind of reason."""

from __future__ import annotations

import logging
import warnings

import pytest

from flextune.errors import ModelError, UsageError
from flextune.torch_backend.journal import Journal, graphs, reason_of


def test_tells_each_kind_of_reason_once(caplog: pytest.LogCaptureFixture) -> None:
    journal, told = Journal("linear, relu"), len(graphs())
    with caplog.at_level(logging.INFO, "flextune.torch_backend"):
        journal.built(1.5)
        with pytest.warns(UserWarning, match="leaves a graph to PyTorch: weights"):
            journal.left("weights", "weights")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            journal.left("weights", "weights again")
    built, left = graphs()[told:]
    assert (built.is_built, left.is_built, left.reason) == (True, False, "weights")
    assert built.graph == left.graph
    assert f"graph {left.graph} (linear, relu) left to PyTorch: weights" in caplog.text


def test_strict_raises_every_reason() -> None:
    journal = Journal("relu", is_strict=True)
    for _ in range(2):
        with pytest.raises(UsageError, match="cannot run a graph: gradients"):
            journal.left("gradients", "gradients")


def test_reasons_are_whole_and_in_one_line() -> None:
    assert reason_of(ModelError("first\n  second " + "x" * 500)) == "first second " + "x" * 500
    assert reason_of(KeyError("name")) == "KeyError: 'name'"
