"""Sizes that change from call to call: one build for all of them, equal to eager PyTorch at each."""

from __future__ import annotations

import pytest


def _attention(torch):
    """Grouped projections, attention, and a normalisation, for any batch and length."""
    project, norm = torch.nn.Linear(16, 48).eval(), torch.nn.LayerNorm(16).eval()

    def function(x):
        batch, length, _ = x.shape
        q, k, v = project(x).view(batch, length, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return norm(x + mixed.transpose(1, 2).reshape(batch, length, 16))

    return function, lambda n: (torch.randn(n, 2 * n - 1, 16),)


def _image(torch):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 4, 3)
    ).eval()
    return net, lambda n: (torch.randn(2, 3, 4 * n, 6 * n + 1),)


def _views(torch):
    def function(x):
        y = (x * 2).transpose(0, 1)
        return y, y[1:], x[:-1], x, y.amax(0), x.shape[0] + 1, x.view(-1)

    return function, lambda n: (torch.randn(n, n + 3),)


def _two_sizes(torch):
    def function(x, y, scale):
        return torch.cat([x, y], 0).softmax(-1) * scale, x.shape[0] * y.shape[0]

    return function, lambda n: (torch.randn(n, 5), torch.randn(3 * n, 5), torch.randn(1))


def _sizes_as_values(torch):
    """Positions, a length as a number, and an axis stretched to it."""
    embedding = torch.nn.Embedding(32, 8)

    def function(x):
        length = x.shape[1]
        return x + embedding(torch.arange(length)), x / length, x[:, :1].expand(-1, length, -1) * 2

    return function, lambda n: (torch.randn(n, 2 * n + 1, 8),)


CASES = {f.__name__: f for f in (_attention, _image, _views, _two_sizes, _sizes_as_values)}


def agree(torch, fast, function, inputs) -> None:
    mine, theirs = [each.clone() for each in inputs], [each.clone() for each in inputs]
    leaves = torch.utils._pytree.tree_leaves
    got, want = leaves(fast(*mine)), leaves(function(*theirs))
    assert len(got) == len(want)
    for each, other in zip(got, want, strict=True):
        if not isinstance(other, torch.Tensor):
            assert each == other
            continue
        torch.testing.assert_close(each, other, rtol=1e-4, atol=1e-5)
        assert each.stride() == other.stride()
        assert [each is given for given in mine] == [other is given for given in theirs]
        shares = [given.untyped_storage().data_ptr() == each.untyped_storage().data_ptr() for given in mine]
        assert shares == [given.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() for given in theirs]


@pytest.mark.parametrize("name", CASES)
def test_one_build_for_all_sizes(torch, compiled, no_warning, newly_built, name: str) -> None:
    function, inputs = CASES[name](torch)
    fast = compiled(function, dynamic=True)
    with no_warning():
        for n in (4, 7, 5, 11, 4):
            agree(torch, fast, function, inputs(n))
    assert newly_built() == 1


def test_the_second_size_makes_a_size_dynamic(torch, compiled, no_warning, newly_built) -> None:
    linear = torch.nn.Linear(6, 5).eval()
    fast = compiled(linear)
    with no_warning():
        for rows in (3, 4, 9, 17, 3):
            agree(torch, fast, linear, (torch.randn(rows, 6),))
    assert newly_built() == 2


def captures(torch, function, inputs) -> int:
    """How many graphs Dynamo captures for these inputs, one call after the other."""
    torch._dynamo.reset()
    count = 0

    def counting(graph, _):
        nonlocal count
        count += 1
        return graph.forward

    fast = torch.compile(function, backend=counting)
    for each in inputs:
        fast(each)
    torch._dynamo.reset()
    return count


@pytest.mark.parametrize("mark", ["mark_dynamic", "maybe_mark_dynamic"])
def test_marked_sizes_are_built_as_often_as_they_are_captured(
    torch, compiled, no_warning, newly_built, mark: str
) -> None:
    linear = torch.nn.Linear(6, 5).eval()
    inputs = [torch.randn(rows, 6) for rows in (4, 9, 30, 11)]
    getattr(torch._dynamo, mark)(inputs[0], 0)
    wanted = captures(torch, linear, inputs)
    assert wanted < len(inputs) - 1
    fast = compiled(linear)
    with no_warning():
        for given in inputs:
            torch.testing.assert_close(fast(given), linear(given))
    assert newly_built() == wanted


@pytest.mark.slow
def test_a_graph_that_has_no_build_for_ranges_is_built_for_its_sizes(torch, compiled, newly_built) -> None:
    def function(x, n):
        return x * n

    fast = compiled(function, dynamic=True)
    with pytest.warns(UserWarning, match="anew for each of its sizes: input . is a number"):
        torch.testing.assert_close(fast(torch.ones(3), 5), torch.full((3,), 5.0))
    for n in (6, 7, 5):
        torch.testing.assert_close(fast(torch.ones(4), n), torch.full((4,), float(n)))
    assert newly_built() >= 3
    for n in range(8, 12):
        torch.testing.assert_close(fast(torch.ones(4), n), torch.full((4,), float(n)))
    with pytest.warns(UserWarning, match="more than 8 combinations of sizes"):
        torch.testing.assert_close(fast(torch.ones(4), 30), torch.full((4,), 30.0))


def test_a_build_that_could_not_be_compared_at_other_sizes_is_not_used_at_them(
    torch, compiled, newly_built, monkeypatch
) -> None:
    """Where PyTorch refuses all the sizes that are tried, there is one build for each size."""
    monkeypatch.setattr("flextune.torch_backend.graph_sizes.GraphSizes.others", lambda sizes, inputs: iter(()))
    net = torch.nn.Linear(8, 4).eval()
    fast = compiled(net, dynamic=True)
    with pytest.warns(UserWarning, match="for each of its sizes.*cannot be compared"):
        agree(torch, fast, net, (torch.randn(3, 8),))
    agree(torch, fast, net, (torch.randn(5, 8),))
    assert newly_built() >= 2


def test_sizes_beyond_a_build_run_in_pytorch(torch, compiled, newly_built) -> None:
    linear = torch.nn.Linear(2, 2).eval()
    fast = compiled(linear, dynamic=True)
    agree(torch, fast, linear, (torch.randn(3, 2),))
    with pytest.warns(UserWarning, match="70000 is out of the range"):
        agree(torch, fast, linear, (torch.randn(70000, 2),))
    agree(torch, fast, linear, (torch.randn(5, 2),))
    assert newly_built() == 1
