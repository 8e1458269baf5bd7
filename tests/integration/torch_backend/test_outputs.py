"""Outputs lie in memory as eager PyTorch's do: views of inputs, of weights and of each other, with their strides."""

from __future__ import annotations

import pytest


def _of_one_result(torch, x):
    y = x * 2
    return y, y[0], y.t(), y.expand(3, *y.shape), y[:, 1::2]


def _parts_of_what_is_no_output(torch, x):
    y = x * 2
    return y.chunk(2, -1), y[0, 0]


def _of_the_input(torch, x):
    return x.view(-1), x, x[1], x + 1, x.t().contiguous()


def _one_tensor_twice(torch, x):
    y = x.exp()
    return y, y, {"again": y}


def _alone_but_not_contiguous(torch, x):
    return (x + 1).t(), x.sum(0).expand(3, -1)


FUNCTIONS = {
    f.__name__: f
    for f in (_of_one_result, _parts_of_what_is_no_output, _of_the_input, _one_tensor_twice, _alone_but_not_contiguous)
}


def flat(torch, outputs):
    return torch.utils._pytree.tree_leaves(outputs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_writing_to_one_changes_what_it_changes_in_eager(torch, compiled, no_warning, newly_built, name: str) -> None:
    fast = compiled(lambda x: FUNCTIONS[name](torch, x))
    with no_warning():
        fast(torch.randn(4, 6))
    assert newly_built() == 1
    for number in range(len(flat(torch, fast(torch.randn(4, 6))))):
        mine = torch.randn(4, 6)
        theirs = mine.clone()
        got, want = flat(torch, fast(mine)), flat(torch, FUNCTIONS[name](torch, theirs))
        if 0 not in want[number].stride():
            got[number].fill_(number + 7)
            want[number].fill_(number + 7)
        torch.testing.assert_close([*got, mine], [*want, theirs])
        assert [each.stride() for each in got] == [each.stride() for each in want]
        assert [each is mine for each in got] == [each is theirs for each in want]
        assert [each is got[0] for each in got] == [each is want[0] for each in want]


def test_a_weight_that_is_given_is_the_weight(torch, compiled) -> None:
    linear, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    fast = compiled(lambda x: (linear(x), linear.weight.t(), linear.bias))
    _, weight, bias = fast(x)
    assert bias is linear.bias
    weight.mul_(2)
    torch.testing.assert_close(linear.weight, weight.t())
    with pytest.warns(UserWarning, match="weights were changed"):
        torch.testing.assert_close(fast(x)[0], linear(x))


def test_channels_last_stays(torch, compiled, newly_built) -> None:
    convolution = torch.nn.Conv2d(3, 4, 3).eval()
    x = torch.randn(1, 3, 8, 8).to(memory_format=torch.channels_last)
    got, want = compiled(convolution)(x), convolution(x)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert got.stride() == want.stride()
    assert newly_built() == 1


def test_what_is_no_tensor_stays_as_it_is(torch, compiled) -> None:
    x = torch.randn(2, 4)
    got = compiled(lambda x: (x * 2, x.shape[0], None, "text"))(x)
    torch.testing.assert_close(got[0], x * 2)
    assert got[1:] == (2, None, "text")
