"""`torch.compile(module, backend="flextune")` agrees with eager PyTorch, or leaves a graph to it with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from flextune.errors import UsageError

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
)


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """PyTorch, in an empty folder, with nothing compiled before."""
    from flextune.torch_import import load_torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEXTUNE_DB", raising=False)
    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    loaded._dynamo.reset()
    with loaded.no_grad():
        yield loaded
    loaded._dynamo.reset()


def compiled(torch, module, **options):
    from flextune.torch_backend import compile_graph

    return torch.compile(module, backend=compile_graph, **options)


def convolutions(torch):
    nn = torch.nn
    norm = nn.BatchNorm2d(8)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), norm, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


MODULES = {
    "perceptron": lambda t: (t.nn.Sequential(t.nn.Linear(16, 32), t.nn.GELU(), t.nn.Linear(32, 8)), (2, 16)),
    "convolutions": lambda t: (convolutions(t), (1, 3, 12, 12)),
    "transformer block": lambda t: (t.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (1, 6, 16)),
}


@pytest.mark.parametrize("name", MODULES)
def test_agrees_with_eager(torch, name: str) -> None:
    module, shape = MODULES[name](torch)
    module.eval()
    fast = compiled(torch, module)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="flextune")
        for seed in range(2):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            torch.testing.assert_close(fast(x), module(x), rtol=1e-4, atol=1e-5)


def test_structured_outputs_keep_their_structure(torch) -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, x):
            y = self.linear(x)
            return {"first": y, "rest": (torch.relu(y), x + 1)}

    module, x = Two().eval(), torch.randn(2, 4)
    torch.testing.assert_close(compiled(torch, module)(x), module(x), rtol=1e-5, atol=1e-6)


def test_weights_that_change_are_noticed(torch) -> None:
    module, x = torch.nn.Linear(4, 3).eval(), torch.randn(2, 4)
    fast = compiled(torch, module)
    fast(x)
    module.weight.mul_(2)
    with pytest.warns(UserWarning, match="weights were changed"):
        got = fast(x)
    torch.testing.assert_close(got, module(x))


def test_training_and_changing_sizes_are_left_to_pytorch(torch) -> None:
    dropout, x = torch.nn.Dropout(0.5).train(), torch.randn(2, 4)
    with pytest.warns(UserWarning, match=r"leaves a graph to PyTorch: .*(random|training)"):
        compiled(torch, dropout)(x)
    with pytest.warns(UserWarning, match="dynamic=False"):
        compiled(torch, torch.nn.ReLU(), dynamic=True)(torch.randn(3, 5))


def test_gradients_are_not_promised(torch) -> None:
    module, x = torch.nn.Linear(4, 3).eval(), torch.randn(2, 4)
    fast = compiled(torch, module)
    with torch.enable_grad(), pytest.warns(UserWarning, match="no gradients"):
        assert not fast(x).requires_grad


def test_options_are_checked() -> None:
    from flextune.torch_backend import BackendOptions

    assert BackendOptions.of({"minutes": 0.5, "db": "x.db"}) == BackendOptions(0.5, "x.db")
    with pytest.raises(UsageError, match=r"did you mean 'minutes'"):
        BackendOptions.of({"minute": 1})
    with pytest.raises(UsageError, match="minutes: expected"):
        BackendOptions.of({"minutes": -1})
