"""PyTorch modules with ranges of sizes: built once, and equal to PyTorch at every size."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import flextune
from flextune.errors import UsageError

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
)


@pytest.fixture(scope="module")
def torch():
    from flextune.torch_import import load_torch

    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    return loaded


def encoder(torch):
    """A layer with attention, its projections, a normalisation and a multilayer perceptron."""

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 32)
            self.project = torch.nn.Linear(32, 96)
            self.norm = torch.nn.LayerNorm(32)
            self.inner, self.outer = torch.nn.Linear(32, 48), torch.nn.Linear(48, 5)

        def forward(self, tokens):
            batch, length = tokens.shape
            x = self.embedding(tokens)
            q, k, v = self.project(x).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            x = self.norm(x + mixed.transpose(1, 2).reshape(batch, length, 32))
            return self.outer(torch.nn.functional.gelu(self.inner(x))), x.mean(1)

    return Encoder().eval()


@pytest.mark.slow
def test_an_encoder_at_every_size(torch) -> None:
    module = encoder(torch)
    batch, seq = torch.export.Dim("batch", min=1, max=4), torch.export.Dim("seq", min=1, max=40)
    built = flextune.optimize(
        module,
        minutes=0,
        example_inputs=torch.zeros(2, 6, dtype=torch.int64),
        dynamic_shapes=({0: batch, 1: seq},),
        only_own=True,
    )
    assert [str(dim) for dim in built.dims] == ["batch=1..4", "seq=1..40"]
    (tokens,) = (spec.name for spec in built.inputs)
    for size in ((1, 1), (2, 6), (3, 17), (4, 40), (1, 33)):
        given = torch.randint(0, 11, size)
        with torch.no_grad():
            want = module(given)
        got = list(built.run({tokens: given.numpy()}).values())
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=r"41 is out of the range seq=1\.\.40"):
        built.run({tokens: np.zeros((1, 41), np.int64)})


def test_images_of_any_height_and_width(torch) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 8, 3, padding=1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    ).eval()
    auto = torch.export.Dim.DYNAMIC(min=8, max=64)
    model = flextune.from_torch(module, torch.randn(2, 3, 24, 20), dynamic_shapes=({0: auto, 2: auto, 3: auto},))
    built = flextune.optimize(model, minutes=0, only_own=True)
    for size in ((8, 3, 24, 20), (9, 3, 8, 64), (11, 3, 33, 17)):
        x = torch.randn(size)
        (got,) = built.run({built.inputs[0].name: x.numpy()}).values()
        with torch.no_grad():
            np.testing.assert_allclose(got, module(x).numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_computed_with_sizes(torch) -> None:
    """Positions, a length as a number, and axes stretched to it."""
    embedding = torch.nn.Embedding(64, 8)

    class Sized(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = embedding

        def forward(self, x):
            length = x.shape[1]
            mean = x.sum(1, keepdim=True) / length
            return x + self.embedding(torch.arange(length)), mean.expand(-1, length, -1) * length, x.flip(1)

    module = Sized().eval()
    seq = torch.export.Dim("seq", min=2, max=40)
    built = flextune.optimize(
        module, minutes=0, example_inputs=torch.randn(2, 6, 8), dynamic_shapes=({1: seq},), only_own=True
    )
    for length in (2, 6, 17, 40):
        x = torch.randn(2, length, 8)
        with torch.no_grad():
            want = module(x)
        for mine, theirs in zip(built.run({"x": x.numpy()}).values(), want, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-4, atol=1e-5)
