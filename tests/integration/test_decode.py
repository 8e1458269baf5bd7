"""Generation of text with a key-value cache: one library for every length of the past gives PyTorch's tokens."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(
        find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
    ),
    pytest.mark.xdist_group("torch"),  # PyTorch is loaded once for all that need it
]

STEPS = 20


@pytest.fixture(scope="module")
def decode():
    """The example as a module."""
    from flextune.torch_import import load_torch

    load_torch("these tests")
    spec = importlib.util.spec_from_file_location("decode", Path(__file__).parents[2] / "examples" / "decode.py")
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["decode"] = loaded
    spec.loader.exec_module(loaded)
    yield loaded
    del sys.modules["decode"]


@pytest.mark.parametrize("kind", [pytest.param("llama", marks=pytest.mark.slow), "gpt"])
def test_tokens_are_those_of_pytorch(decode, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import flextune

    monkeypatch.chdir(tmp_path)
    sizes = decode.TINY if kind == "llama" else replace(decode.TINY, kv_heads=decode.TINY.heads)
    module = decode.decoder(kind, sizes)
    library = flextune.load(decode.built(module).save(tmp_path / "decode.so"))
    assert [str(dim) for dim in library.dims] == ["past=0..31"]
    mine, theirs = decode.InFlextune(sizes, library), decode.InPyTorch(module, compiled=False)
    prompt = [3, 1, 4, 1, 5]
    assert mine.generate(prompt, STEPS) == theirs.generate(prompt, STEPS)
    for cache, other in zip(mine.caches, theirs.caches, strict=True):
        np.testing.assert_allclose(cache.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
    joined = decode.InPyTorch(decode.decoder(kind, sizes, "joined"), compiled=False)
    assert joined.generate(prompt, STEPS) == theirs.generate(prompt, STEPS)
