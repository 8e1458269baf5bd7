import subprocess
import sys

import pytest

from flextune.cost import registry
from flextune.cost.registry import create_cost_model, register_cost_model
from flextune.errors import UsageError
from flextune.registry import Registry


def test_none_is_no_model():
    assert create_cost_model("none", ("i",), 0) is None


def test_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown cost model .tree.: .* none, trees; did you mean .trees.\?"):
        create_cost_model("tree", ("i",), 0)


def test_own_model_is_loaded_by_name(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", Registry("cost model", {}))
    register_cost_model("mine", "flextune.cost.trees:TreesCostModel")
    model = create_cost_model("mine", ("i",), 0)
    assert model is not None
    assert model.importance() == {}
    with pytest.raises(UsageError, match="'mine' is registered already"):
        register_cost_model("mine", "somewhere:Else")


def test_xgboost_is_loaded_only_when_used():
    code = "import sys, flextune.cost.registry; sys.exit('xgboost' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
