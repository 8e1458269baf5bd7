import importlib.abc
import subprocess
import sys

import pytest

from flextune.errors import UsageError
from flextune.search.extras import is_installed
from flextune.torch_import import hide_torch, load_torch


class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"the Q-method needs torch .*: pip install 'flextune\[rl\]'"):
        load_torch("the Q-method")


def test_hiding_leaves_a_loaded_module_alone(monkeypatch):
    loaded = type(sys)("torch")
    monkeypatch.setitem(sys.modules, "torch", loaded)
    hide_torch()
    assert load_torch("this test") is loaded


@pytest.mark.skipif(not is_installed("rl"), reason="the extra 'rl' (torch) is not installed")
def test_is_hidden_from_tvm_and_found_afterwards():
    script = """
import sys
from flextune.torch_import import hide_torch, load_torch
hide_torch()
import tvm
assert not any(name.startswith("torch.") for name in sys.modules)
torch = load_torch("this test")
assert torch.ones(2).sum() == 2 and tvm.runtime.tensor(torch.ones(2).numpy()).shape == (2,)
assert tvm.runtime.from_dlpack(torch.arange(3)).numpy().tolist() == [0, 1, 2]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
