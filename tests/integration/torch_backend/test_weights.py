"""Whatever happens to the weights, results are those of the weights that the module has at the call."""

from __future__ import annotations

import copy
from functools import cache

import pytest


def close(torch, got, want) -> None:
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@cache
def block_class(torch):
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)
            self.shift = torch.randn(8)
            self.register_buffer("scale", torch.rand(8))

        def forward(self, x):
            return torch.relu(self.linear(x)) * self.scale + self.shift

    return Block


def block(torch):
    return block_class(torch)().eval()


def test_equal_blocks_compiled_one_by_one_keep_their_own_weights(torch, no_warning, newly_built) -> None:
    from flextune.torch_backend import compile_graph

    module, x = torch.nn.Sequential(*(block(torch) for _ in range(3))), torch.randn(2, 8)
    want = copy.deepcopy(module)(x)
    for each in module:
        each.compile(backend=compile_graph)
    with no_warning():
        close(torch, module(x), want)
        assert newly_built() == 3
        close(torch, module(x), want)
        assert newly_built() == 0


def test_one_function_for_several_modules_and_parameters_as_arguments(torch, compiled, newly_built) -> None:
    first, second, x = block(torch), block(torch), torch.randn(2, 8)
    apply, multiply = compiled(lambda module, x: module(x) + 1), compiled(lambda x, weight: x @ weight)
    for module in (first, second, copy.deepcopy(first), first):
        close(torch, apply(module, x), module(x) + 1)
        close(torch, multiply(x, module.linear.weight), x @ module.linear.weight)
    assert newly_built() == 4, "equal weights share a build"


def _in_numpy(torch, m) -> None:
    m.linear.weight.detach().numpy()[:] *= -1


def _fused_optimizer(torch, m) -> None:
    parameters = list(m.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(parameters, lr=0.1, fused=True).step()


CHANGES = {
    "in place": lambda t, m: m.linear.weight.mul_(2),
    "one element": lambda t, m: m.linear.weight.data[3].select(0, 5).neg_(),
    "data in place": lambda t, m: m.linear.weight.data.mul_(2),
    "through numpy": _in_numpy,
    "rows swapped": lambda t, m: m.linear.weight.data.copy_(m.linear.weight.data.flip(0)),
    "fused optimizer": _fused_optimizer,
    "data replaced": lambda t, m: setattr(m.linear.weight, "data", t.randn(8, 8)),
    "data transposed": lambda t, m: setattr(m.linear.weight, "data", m.linear.weight.data.t()),
    "parameter replaced": lambda t, m: setattr(m.linear, "weight", t.nn.Parameter(t.randn(8, 8))),
    "parameter made longer": lambda t, m: setattr(m.linear, "weight", t.nn.Parameter(t.randn(8, 16)[:, ::2])),
    "loaded": lambda t, m: m.load_state_dict({k: v * 3 for k, v in m.state_dict().items()}),
    "assigned": lambda t, m: m.load_state_dict({k: v * 3 for k, v in m.state_dict().items()}, assign=True),
    "attribute in place": lambda t, m: m.shift.add_(1),
    "attribute replaced": lambda t, m: setattr(m, "shift", t.randn(8)),
    "buffer in place": lambda t, m: m.scale.data.fill_(2),
    "layer replaced": lambda t, m: setattr(m, "linear", t.nn.Linear(8, 8)),
}


@pytest.mark.filterwarnings("ignore:flextune")
def test_every_change_of_weights_is_noticed(torch, compiled, newly_built) -> None:
    module, x = block(torch), torch.randn(2, 8)
    fast = compiled(module)
    for name, change in CHANGES.items():
        close(torch, fast(x), module(x))
        change(torch, module)
        for _ in range(3):
            torch.testing.assert_close(
                fast(x), module(x), rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
            )
    assert newly_built() >= len(CHANGES) - 2, "it is built again once weights stay as they are"


def test_changed_weights_run_in_pytorch_until_they_stay(torch, compiled, no_warning, newly_built) -> None:
    module, x = block(torch), torch.randn(2, 8)
    fast = compiled(module)
    fast(x)
    assert newly_built() == 1
    module.linear.weight.data.mul_(2)
    with pytest.warns(UserWarning, match="weights were changed"):
        close(torch, fast(x), module(x))
    for _ in range(3):
        module.linear.weight.data.mul_(1.1)
        with no_warning():
            close(torch, fast(x), module(x))
    assert newly_built() == 0
    close(torch, fast(x), module(x))
    assert newly_built() == 1


def test_statistics_of_a_training_step_are_noticed(torch, compiled) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8)).eval()
    x, fast = torch.randn(2, 8), compiled(module)
    close(torch, fast(x), module(x))
    module.train()
    module(torch.randn(5, 8) * 3)
    module.eval()
    with pytest.warns(UserWarning, match="weights were changed"):
        close(torch, fast(x), module(x))


def test_frozen_weights_are_told_apart_but_not_read_again(torch, newly_built) -> None:
    from flextune.torch_backend import compile_graph

    module, x = torch.nn.Sequential(*(block(torch) for _ in range(2))), torch.randn(2, 8)
    want = copy.deepcopy(module)(x)
    for each in module:
        each.compile(backend=compile_graph, options={"frozen": True})
    close(torch, module(x), want)
    assert newly_built() == 2
    module[0].linear.weight.data.mul_(2)
    close(torch, module(x), want)
    module[0].linear.weight = torch.nn.Parameter(module[0].linear.weight.clone())
    assert not torch.allclose(module(x), want)


def test_more_sets_of_weights_than_are_kept_run_in_pytorch(torch, compiled, monkeypatch, newly_built) -> None:
    from flextune.torch_backend import compiled as module_under_test

    monkeypatch.setattr(module_under_test, "KEPT_BUILDS", 2)
    first, second, third, x = block(torch), block(torch), block(torch), torch.randn(2, 8)
    apply = compiled(lambda module, x: module(x) + 1)
    for module in (first, second):
        close(torch, apply(module, x), module(x) + 1)
    with pytest.warns(UserWarning, match="more than 2 sets of weights"):
        close(torch, apply(third, x), third(x) + 1)
    assert newly_built() == 2
