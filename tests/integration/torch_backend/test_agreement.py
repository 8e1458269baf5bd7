"""What the backend builds computes what eager PyTorch computes."""

from __future__ import annotations

import pytest


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
def test_agrees_with_eager(torch, compiled, no_warning, newly_built, name: str) -> None:
    module, shape = MODULES[name](torch)
    module.eval()
    fast = compiled(module)
    with no_warning():
        for seed in range(2):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            torch.testing.assert_close(fast(x), module(x), rtol=1e-4, atol=1e-5)
    assert newly_built() == 1


def test_structured_outputs_keep_their_structure(torch, compiled) -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, x):
            y = self.linear(x)
            return {"first": y, "rest": (torch.relu(y), x + 1)}

    module, x = Two().eval(), torch.randn(2, 4)
    torch.testing.assert_close(compiled(module)(x), module(x), rtol=1e-5, atol=1e-6)
