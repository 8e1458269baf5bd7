"""A build that differs from PyTorch is found, on the inputs at hand or on special ones; rounding is no difference."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="the extra 'torch' is not installed")


@pytest.fixture(scope="module")
def torch():
    from flextune.torch_import import load_torch

    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    return loaded


def found(torch, wrong, right, *inputs, has_products=False):
    from flextune.torch_backend.verification import first_difference

    def run(function):
        return lambda values: (function(*values),)

    difference = first_difference(torch, run(wrong), run(right), inputs, range(len(inputs)), has_products)
    return "" if difference is None else str(difference)


WRONG = {
    "log1p by log": (lambda t: lambda x: (1 + x).log(), lambda t: t.log1p),
    "expm1 by exp": (lambda t: lambda x: x.exp() - 1, lambda t: t.expm1),
    "log sigmoid by log": (lambda t: lambda x: x.sigmoid().log(), lambda t: t.nn.functional.logsigmoid),
    "sign of NaN": (lambda t: lambda x: t.where(x.isnan(), x, x.sign()), lambda t: t.sign),
    "maximum that loses NaN": (lambda t: lambda x: t.where(x > 0, x, 0.0), lambda t: t.relu),
    "sum for mean": (lambda t: lambda x: x.sum(-1), lambda t: lambda x: x.mean(-1)),
    "biased variance": (lambda t: lambda x: x.var(-1, correction=0), lambda t: lambda x: x.var(-1)),
    "rounding down": (lambda t: lambda x: x.floor().int(), lambda t: lambda x: x.int()),
    "another type": (lambda t: lambda x: x.double(), lambda t: lambda x: x),
    "another shape": (lambda t: lambda x: x[None], lambda t: lambda x: x),
    "overflow": (lambda t: lambda x: x.exp().sum(-1).log(), lambda t: lambda x: x.logsumexp(-1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_formulas_are_found(torch, name: str) -> None:
    wrong, right = (make(torch) for make in WRONG[name])
    x = torch.randn(4, 33).clamp(-2.5, 2.5)
    assert found(torch, wrong, right, x).startswith("output 0 differs from PyTorch's for ")


@pytest.mark.parametrize("has_products", [False, True])
def test_right_formulas_pass(torch, has_products: bool) -> None:
    functions = [torch.log1p, torch.relu, lambda x: x.softmax(-1), lambda x: x.logsumexp(-1), lambda x: x > 0]
    for function in functions:
        assert not found(torch, function, function, torch.randn(4, 33), has_products=has_products)
    assert not found(
        torch, lambda x: x.double().exp().float(), torch.exp, torch.randn(4, 33), has_products=has_products
    )


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_rows_that_are_masked_completely_are_tried(torch, kind: str) -> None:
    mask = torch.ones(4, 6, dtype=torch.bool).tril()
    if kind == "float":
        mask = torch.zeros(4, 6).masked_fill(~mask, float("-inf"))

    def scores(mask):
        return mask if mask.dtype != torch.bool else torch.zeros(4, 6).masked_fill(~mask, float("-inf"))

    def right(mask):
        return scores(mask).softmax(-1).nan_to_num()

    text = found(torch, lambda mask: scores(mask).softmax(-1), right, mask, has_products=True)
    assert "a row that is masked completely: nan where 0 was expected" in text


def test_where_sums_have_another_order_only_finite_numbers_count(torch) -> None:
    x = torch.tensor([[1.0, float("inf")], [2.0, 3.0]])
    assert not found(torch, lambda x: x.nan_to_num(posinf=5.0), lambda x: x, x, has_products=True)
    assert "5 where inf was expected" in found(torch, lambda x: x.nan_to_num(posinf=5.0), lambda x: x, x)
    assert "by up to" in found(torch, lambda x: x * 1.001, lambda x: x, x, has_products=True)
