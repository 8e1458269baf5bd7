"""Operators that PyTorch's exporter writes wrongly for some numbers give what eager PyTorch gives, also when built."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from flextune.apply.build import compile_model
from flextune.plan.partition import partition_model
from flextune.target.detect import detect

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
)

NAN, INF = float("nan"), float("inf")
SPECIAL = (
    0.0,
    -0.0,
    1e-8,
    -1e-8,
    1e-4,
    0.2,
    0.26,
    -0.3,
    0.49,
    -0.51,
    1.0,
    -1.0,
    4.0,
    -6.0,
    80.0,
    -100.0,
    INF,
    -INF,
    NAN,
)


@pytest.fixture(scope="module")
def torch():
    from flextune.torch_import import load_torch

    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    return loaded


def assert_built_like_eager(torch, function, *inputs, rtol: float = 1e-5, atol: float = 0.0) -> None:
    """`function` gives a tuple of tensors."""
    from flextune.importing.torch_export import from_torch

    class Module(torch.nn.Module):
        def forward(self, *values):
            return function(*values)

    names = [f"x{position}" for position in range(len(inputs))]
    model = from_torch(Module(), inputs, input_names=names)
    executable = compile_model(partition_model(model), {}, detect()).executable
    got = executable.run({name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    for number, (spec, want) in enumerate(zip(executable.outputs, function(*inputs), strict=True)):
        np.testing.assert_allclose(got[spec.name], want.numpy(), rtol, atol, err_msg=f"output {number}")


def test_of_one_number(torch) -> None:
    def functions(x):
        return x.sign(), x.sgn(), x.log1p(), x.expm1(), torch.nn.functional.logsigmoid(x), (x * 3).int().sign()

    finite = torch.tensor([value for value in SPECIAL if abs(value) < INF])
    assert_built_like_eager(torch, functions, finite)
    assert_built_like_eager(torch, lambda x: functions(x)[:5], torch.tensor(SPECIAL))


def test_attention_with_rows_that_are_masked_completely(torch) -> None:
    attention = torch.nn.functional.scaled_dot_product_attention
    allowed = torch.rand(4, 6) > 0.4
    allowed[1] = False
    added = torch.randn(2, 4, 6)
    added[1, 2], added[0, 0, 3] = -INF, -INF

    def functions(q, k, v, allowed, added):
        shared_q, shared_added = torch.cat([q, q], 1), added.repeat(2, 1, 1)
        return (
            attention(q, k, v, allowed),
            attention(q, k, v, added, scale=0.3),
            attention(q, k, v),
            attention(shared_q, k, v, shared_added, enable_gqa=True),
        )

    q, k, v = torch.randn(1, 2, 4, 8), torch.randn(1, 2, 6, 8), torch.randn(1, 2, 6, 8)
    assert bool((attention(q, k, v, allowed)[:, :, 1] == 0).all())
    assert_built_like_eager(torch, functions, q, k, v, allowed, added, rtol=1e-4, atol=1e-5)


def test_cross_entropy_with_all_of_its_arguments(torch) -> None:
    loss, weight = torch.nn.functional.cross_entropy, torch.arange(1.0, 6.0)

    def functions(scores, target, image, pixels, shares):
        return (
            loss(scores, target, label_smoothing=0.2),
            loss(scores, target, weight, label_smoothing=0.2, ignore_index=0),
            loss(scores, target, weight, reduction="none", ignore_index=1),
            loss(scores, target, reduction="sum", label_smoothing=0.1),
            loss(image, pixels, label_smoothing=0.3),
            loss(scores, shares, weight, label_smoothing=0.3),
        )

    target, pixels = torch.tensor([1, 0, 4]), torch.randint(0, 3, (2, 4, 4))
    inputs = (torch.randn(3, 5), target, torch.randn(2, 3, 4, 4), pixels, torch.randn(3, 5).softmax(-1))
    assert_built_like_eager(torch, functions, *inputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("include_self", [True, False])
def test_scattered_means(torch, include_self: bool) -> None:
    index = torch.tensor([[0, 1, 1, 0, 2], [2, 2, 0, 1, 0], [0, 0, 0, 0, 0]])

    def function(x, source):
        return (x.scatter_reduce(0, index, source, "mean", include_self=include_self),)

    assert_built_like_eager(torch, function, torch.randn(3, 5), torch.randn(3, 5), rtol=1e-4, atol=1e-6)


def test_sums_of_exponentials_and_losses_of_logits(torch) -> None:
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def functions(x, y, target):
        rows = torch.stack([torch.full_like(x, -INF), x * 100, y])
        finite = x.clamp(-1e4, 1e4)
        return (
            torch.logaddexp(x, y),
            rows.logsumexp(-1),
            rows[1:].logsumexp((0, 1), keepdim=True),
            loss(finite, target),
            loss(finite, target, pos_weight=torch.tensor(3.0), reduction="none"),
        )

    x = torch.tensor([0.0, 1e-8, 0.3, -20.0, 100.0, -100.0, 1e30, -INF, 3.0, INF])
    y = torch.tensor([1.0, 1e-8, -5.0, 30.0, 99.0, 100.0, -1e30, -INF, -INF, 0.0])
    assert_built_like_eager(torch, functions, x, y, torch.rand(10), rtol=1e-5, atol=1e-6)
