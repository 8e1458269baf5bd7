"""Whatever cannot be compiled, or goes wrong, runs in PyTorch: the same results, and one warning that says why."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable

import pytest


def _random(torch):
    return torch.nn.Dropout(0.5).train(), (torch.ones(2, 4),)


def _gradient_inside(torch):
    return lambda x: torch.func.grad(lambda y: (y**2).sum())(x) + 1, (torch.randn(3),)


def _changes_its_input(torch):
    return lambda x: x.add_(1) * 2, (torch.randn(3),)


def _conditional(torch):
    return lambda x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,)), (torch.randn(3),)


def _records_gradients(torch):
    linear = torch.nn.Linear(3, 3)

    def function(x):
        with torch.enable_grad():
            return linear(x)

    return function, (torch.randn(2, 3),)


CASES: dict[str, tuple[Callable, str]] = {
    "random numbers": (_random, r"random|training"),
    "gradients inside": (_gradient_inside, "flextune leaves a graph to PyTorch"),
    "a changed input": (_changes_its_input, "while it runs"),
    "control flow": (_conditional, ""),
    "gradients recorded inside": (_records_gradients, "records gradients"),
    "complex inputs": (lambda t: (lambda x: x * 2, (t.randn(3, dtype=t.complex64),)), "real numbers"),
    "complex outputs": (lambda t: (lambda x: t.complex(x, x), (t.randn(3),)), "complex64"),
    "complex inside": (lambda t: (lambda x: t.fft.fft(x).real, (t.randn(4),)), ""),
    "a conjugate view": (lambda t: (lambda x: x.imag * 2, (t.randn(3, dtype=t.complex64).conj(),)), "input 0"),
    "no elements": (lambda t: (t.nn.Linear(4, 3).eval(), (t.randn(0, 4),)), "no elements"),
    "no elements in an output": (lambda t: (lambda x: x[:0] * 2, (t.randn(3, 4),)), "no elements"),
    "a number": (lambda t: (lambda x, n: x * n, (t.randn(3), 7)), ""),
    "a number that is no integer": (lambda t: (lambda x, n: x * n, (t.randn(3), 0.7)), ""),
    "float64 without a formula": (lambda t: (lambda x: t.erf(x), (t.randn(3, dtype=t.float64),)), ""),
    "only weights": (lambda t: (t.nn.ParameterList([t.randn(3)]).__getitem__, (0,)), ""),
    "bfloat16 weights": (lambda t: (t.nn.Linear(4, 3).bfloat16(), (t.randn(2, 4).bfloat16(),)), ""),
}


@pytest.mark.parametrize("name", CASES)
def test_gives_what_eager_gives_at_every_call(torch, compiled, name: str) -> None:
    make, reason = CASES[name]
    function, inputs = make(torch)
    fast = compiled(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            torch.manual_seed(1)
            want = copy.deepcopy(function)(*copy.deepcopy(inputs))
            torch.manual_seed(1)
            got = fast(*copy.deepcopy(inputs))
            assert got.requires_grad == want.requires_grad
            torch.testing.assert_close(got, want)
    told = [str(each.message) for each in caught if "leaves a graph" in str(each.message)]
    assert len(told) <= 1, told
    if reason:
        assert re.search(reason, told[0])


def test_inference_mode_and_its_tensors_are_taken(torch, compiled, no_warning, newly_built) -> None:
    with torch.inference_mode():
        module, x = torch.nn.Linear(8, 4).eval(), torch.randn(2, 8)
    fast = compiled(module)
    with no_warning():
        torch.testing.assert_close(fast(x), module(x))
        with torch.inference_mode():
            torch.testing.assert_close(fast(x), module(x))
    assert newly_built() >= 1


def test_results_in_other_types_are_taken(torch, compiled, no_warning, newly_built) -> None:
    fast = compiled(lambda x: ((x * 2).bfloat16(), (x * 2).half(), x > 0, (x * 9).to(torch.int8)))
    x = torch.randn(4, 4)
    with no_warning():
        for _ in range(2):
            torch.testing.assert_close(fast(x), ((x * 2).bfloat16(), (x * 2).half(), x > 0, (x * 9).to(torch.int8)))
    assert newly_built() == 1


def test_transforms_around_a_compiled_function(torch, compiled) -> None:
    fast, x = compiled(lambda x: (x**2).sum()), torch.randn(3)
    fast(x)
    torch.testing.assert_close(torch.func.grad(fast)(x), 2 * x)
    torch.testing.assert_close(torch.vmap(fast)(x.reshape(3, 1)), x**2)


def test_gradients_flow_as_in_eager(torch, compiled) -> None:
    frozen, trained = torch.nn.Linear(8, 8).requires_grad_(False), torch.nn.Linear(8, 8)
    x = torch.randn(2, 8)
    for module, given in ((frozen, x.clone().requires_grad_()), (trained, x), (trained, x.clone().requires_grad_())):
        torch._dynamo.reset()
        fast = compiled(module)
        fast(x)
        wanted = [each for each in (given, *module.parameters()) if each.requires_grad]
        with torch.enable_grad():
            with pytest.warns(UserWarning, match="gradients are needed"):
                got = torch.autograd.grad(fast(given).square().sum(), wanted)
            want = torch.autograd.grad(module(given).square().sum(), wanted)
        torch.testing.assert_close(got, want)


def test_a_failing_call_is_repeated_by_pytorch(torch, compiled, monkeypatch) -> None:
    from flextune.apply.executable import Executable

    module, x = torch.nn.Linear(4, 3).eval(), torch.randn(2, 4)
    fast = compiled(module)
    fast(x)

    def fail(*given, **named):
        raise RuntimeError("out of order")

    monkeypatch.setattr(Executable, "run", fail)
    with pytest.warns(UserWarning, match="leaves a graph to PyTorch: RuntimeError: out of order"):
        torch.testing.assert_close(fast(x), module(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(fast(x), module(x))


@pytest.mark.parametrize("options", [{"minutes": "a"}, {"nope": 1}, {"db": "damaged.db"}])
def test_wrong_options_are_told_and_strict_raises(torch, compiled, tmp_path, options) -> None:
    (tmp_path / "damaged.db").write_text("not a database")
    x = torch.randn(3)
    with pytest.warns(UserWarning, match=r"minutes: expected|unknown option 'nope'|damaged.db"):
        torch.testing.assert_close(compiled(torch.nn.ReLU(), options=options)(x), x.relu())
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"minutes: expected|unknown option 'nope'|damaged.db"):
        compiled(torch.nn.ReLU(), options=options | {"strict": True})(x)


def test_strict_raises_what_is_left_otherwise(torch, compiled) -> None:
    with pytest.raises(Exception, match=r"random|training"):
        compiled(torch.nn.Dropout(0.5).train(), options={"strict": True})(torch.ones(3))
    with torch.enable_grad(), pytest.raises(Exception, match="gradients are needed"):
        compiled(torch.nn.Linear(3, 2), options={"strict": True})(torch.ones(1, 3))


def test_modes_of_inductor_change_nothing_and_are_told(torch, compiled, newly_built) -> None:
    x = torch.randn(3)
    with pytest.warns(UserWarning, match="mode='max-autotune' changes nothing here"):
        torch.testing.assert_close(compiled(torch.nn.ReLU(), mode="max-autotune")(x), x.relu())
    assert newly_built() == 1


def test_records_that_are_asked_for_and_missing_are_told(torch, compiled, newly_built) -> None:
    x = torch.randn(3)
    with pytest.warns(UserWarning, match="there is no missing.db; graphs get default schedules"):
        torch.testing.assert_close(compiled(torch.nn.ReLU(), options={"db": "missing.db"})(x), x.relu())
    assert newly_built() == 1
