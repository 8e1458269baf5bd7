import sys

import numpy as np
import pytest

from flextune.cost.mlp import MlpCostModel, MlpOptions
from flextune.errors import UsageError
from flextune.testing.cost_models import NAMES, example_assignments, example_secs, measured


class NoTorch:
    """A finder of modules that has no torch."""

    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [NoTorch(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(UsageError, match=r"the cost model 'mlp' needs torch .*: pip install 'flextune\[rl\]'"):
        MlpCostModel(NAMES, 0)


def taught(options, n=80, seed=0):
    assignments = example_assignments(np.random.default_rng(0), n)
    model = MlpCostModel(NAMES, seed, options=options)
    model.update(measured(assignments, example_secs(assignments)))
    return model


@pytest.mark.parametrize("loss", ["regression", "ranking"])
def test_more_rows_than_a_batch(loss):
    pytest.importorskip("torch")
    probe = example_assignments(np.random.default_rng(1), 50)
    assert np.isfinite(taught(MlpOptions(loss=loss, steps=5), n=400).predict(probe)).all()


def test_torch_is_left_as_it_was():
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    threads, state = torch.get_num_threads(), torch.get_rng_state().tolist()
    taught(MlpOptions(steps=3)).predict(example_assignments(np.random.default_rng(1), 5))
    assert (torch.get_num_threads(), torch.get_rng_state().tolist()) == (threads, state)


def test_seed_matters():
    pytest.importorskip("torch")
    probe = example_assignments(np.random.default_rng(1), 50)
    first, second = (taught(MlpOptions(steps=5), seed=seed).predict(probe).tolist() for seed in (0, 1))
    assert first != second
