import subprocess
import sys

import pytest

from flextune.cost import cost_model_registry
from flextune.cost.cost_model_registry import (
    check_cost_model,
    cost_model_options,
    create_cost_model,
    register_cost_model,
)
from flextune.cost.trees import TreesCostModel
from flextune.errors import UsageError
from flextune.registry import Registry
from flextune.testing.cost_models import NAMES, example_pretrained


def test_none_is_no_model():
    assert create_cost_model("none", ("i",), 0) is None
    assert cost_model_options("none") == ()
    with pytest.raises(UsageError, match="the cost model 'none' has none"):
        create_cost_model("none", ("i",), 0, options={"loss": "ranking"})
    with pytest.raises(UsageError, match="a pretrained model is the start of a cost model, and 'none' is none"):
        create_cost_model("none", NAMES, 0, pretrained=example_pretrained())


def test_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown cost model .tree.: .* none, trees, .*; did you mean .trees.\?"):
        create_cost_model("tree", ("i",), 0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("trees", {"los": "ranking"}, r"unknown cost model option 'los': .*; did you mean 'loss'\?"),
        ("trees", {"loss": "rank"}, "cost model option loss: expected one of regression, ranking, got rank"),
        ("trees", {"rounds": "0"}, "cost model option rounds: expected from 1 to 10000, got 0"),
        ("gp", {"loss": "ranking"}, "unknown cost model option 'loss': expected one of rows, kernel_rows, steps"),
        ("mlp", {"networks": "x"}, "cost model option networks: expected a whole number, got 'x'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        check_cost_model(name, options)


def test_options_reach_the_model():
    model = create_cost_model("trees", NAMES, 0, options={"loss": "ranking", "rounds": "7"})
    assert isinstance(model, TreesCostModel)
    assert (model.options.loss, model.options.rounds) == ("ranking", 7)
    assert [option.name for option in cost_model_options("trees")][:2] == ["loss", "rounds"]


def test_own_model_is_loaded_by_name(monkeypatch):
    monkeypatch.setattr(cost_model_registry, "_MODELS", Registry("cost model", {}))
    register_cost_model("mine", "flextune.cost.trees:TreesCostModel")
    model = create_cost_model("mine", ("i",), 0)
    assert model is not None
    assert model.importance() == {}
    for name in ("mine", "none"):
        with pytest.raises(UsageError, match=f"'{name}' is registered already"):
            register_cost_model(name, "somewhere:Else")


def test_heavy_libraries_are_loaded_only_when_used():
    heavy = "{'xgboost', 'torch', 'scipy', 'tvm'}"
    code = f"import sys, flextune.cost.cost_model_registry; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
