"""Hidden packages cannot be imported in the block, and can be afterwards."""

import subprocess
import sys

import pytest

from flextune.imports import hidden


def test_a_hidden_package_is_absent_only_in_the_block(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with hidden("colorsys"), pytest.raises(ImportError):
        __import__("colorsys")
    assert __import__("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_a_loaded_package_stays():
    with hidden("pytest"):
        assert sys.modules["pytest"] is pytest


@pytest.mark.parametrize("used", ["import flextune; flextune.load_model", "import flextune.plan.partition"])
def test_tvm_loads_no_torch(used):
    script = f"""
import sys
{used}
assert "tvm" in sys.modules
assert "torch" not in sys.modules
import tvm
assert tvm.__spec__.loader.get_source("tvm")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
