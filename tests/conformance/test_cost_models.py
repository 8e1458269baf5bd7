"""Every registered cost model passes the suite."""

from collections.abc import Sequence

from flextune.cost.model import CostModel
from flextune.cost.registry import cost_model_names, create_cost_model
from flextune.testing.cost_models import CostModelSuite


class TestTrees(CostModelSuite):
    name = "trees"

    def create(self, names: Sequence[str], seed: int) -> CostModel:
        model = create_cost_model(self.name, names, seed)
        assert model is not None
        return model


def test_every_model_is_tested():
    assert {suite.name for suite in (TestTrees,)} == set(cost_model_names()) - {"none"}
