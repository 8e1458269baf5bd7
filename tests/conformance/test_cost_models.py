"""Every registered cost model passes the suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import ClassVar

import pytest

from flextune.cost.cost_model import CostModel
from flextune.cost.cost_model_registry import cost_model_names, create_cost_model
from flextune.cost.pretrained import PretrainedModel
from flextune.cost.task_description import TaskDescription
from flextune.testing.cost_models import CostModelSuite


class Registered(CostModelSuite):
    """A model by its name."""

    name: str
    options: ClassVar[Mapping[str, str]] = {}

    def create(
        self,
        names: Sequence[str],
        seed: int,
        task: TaskDescription | None = None,
        pretrained: PretrainedModel | None = None,
    ) -> CostModel:
        model = create_cost_model(self.name, names, seed, options=self.options, task=task, pretrained=pretrained)
        assert model is not None
        return model


class TestTrees(Registered):
    name = "trees"


class TestRankingTrees(Registered):
    name = "trees"
    options: ClassVar[Mapping[str, str]] = {"loss": "ranking"}


class TestGp(Registered):
    name = "gp"


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch: pip install 'flextune[rl]'")
class TestMlp(Registered):
    name = "mlp"


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch: pip install 'flextune[rl]'")
class TestRankingMlp(Registered):
    name = "mlp"
    options: ClassVar[Mapping[str, str]] = {"loss": "ranking", "steps": "80"}


def test_every_model_is_tested():
    suites = (TestTrees, TestRankingTrees, TestGp, TestMlp, TestRankingMlp)
    assert {suite.name for suite in suites} == set(cost_model_names()) - {"none"}
