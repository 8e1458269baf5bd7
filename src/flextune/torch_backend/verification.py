"""A build against the captured graph in PyTorch: on the inputs at hand, and on values at which formulas fail.

A formula may be right for usual numbers only: log(1 + x) where log1p(x) is meant is 0 for x = 1e-8, and softmax of a
row that is masked completely is NaN where attention gives 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[Sequence[Any]], Sequence[Any]]
"""All inputs of a graph -> its outputs."""

TOLERANCES = {"torch.float64": 1e-7, "torch.float32": 2e-4, "torch.float16": 1e-2, "torch.bfloat16": 4e-2}
"""The largest accepted difference, over the largest finite number of the output; others must be equal."""

SPECIAL = (0.0, -0.0, 1e-8, -1e-8, 0.3, -0.7, 1.0, -1.0, 4.0, -6.0, 100.0, -100.0, 1e30, -1e30)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))

_MASKED_BELOW = -1e4
"""Numbers so low stand for "masked" where they are added before a softmax."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An output that differs: which, for which inputs, and how."""

    output: int
    inputs: str
    how: str

    def __str__(self) -> str:
        return f"output {self.output} differs from PyTorch's for {self.inputs}: {self.how}"


def first_difference(
    torch: Any, run: Run, reference: Run, inputs: Sequence[Any], varying: Sequence[int], has_products: bool
) -> Difference | None:
    """The first difference between two runs, on the inputs and on others of the same shapes; None where there is none.

    Where `has_products`, sums run in another order and one number reaches many outputs: then only numbers that are
    finite in PyTorch are compared, and special values are put into masks alone.
    """
    for described, values in _probes(torch, inputs, varying, has_products):
        got, want = run(values), reference(values)
        for number, (mine, theirs) in enumerate(zip(got, want, strict=True)):
            if how := difference(torch, mine, theirs, only_finite=has_products):
                return Difference(number, described, how)
    return None


def difference(torch: Any, got: Any, want: Any, only_finite: bool = False) -> str:
    """How two tensors, or numbers, differ beyond rounding; empty where they agree."""
    if not isinstance(want, torch.Tensor):
        return "" if got == want else f"{got} where {want} was expected"
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{list(got.shape)} where {want.dtype}{list(want.shape)} was expected"
    if str(want.dtype) not in TOLERANCES:
        wrong = int((got != want).sum())
        return f"{wrong} of {want.numel()} elements are different" if wrong else ""
    mine, theirs = got.double(), want.double()
    finite = torch.isfinite(theirs)
    equal = torch.where(finite, torch.isfinite(mine), (mine == theirs) | (mine.isnan() & theirs.isnan()))
    odd = ~(equal | ~finite) if only_finite else ~equal
    if bool(odd.any()):
        return f"{mine[odd][0].item():.6g} where {theirs[odd][0].item():.6g} was expected"
    mine, theirs = mine[finite], theirs[finite]
    if not theirs.numel():
        return ""
    largest = (mine - theirs).abs().max().item()
    scale = theirs.abs().max().item()
    if largest <= TOLERANCES[str(want.dtype)] * scale:
        return ""
    return f"by up to {largest:.2g}, where the largest element is {scale:.2g}"


def _probes(
    torch: Any, inputs: Sequence[Any], varying: Sequence[int], has_products: bool
) -> Iterator[tuple[str, list[Any]]]:
    yield "the inputs at hand", list(inputs)
    numbers = [position for position in varying if inputs[position].is_floating_point()]
    if numbers and not has_products:
        for name, pool in (("special values", SPECIAL), ("NaN and infinity among them", (*SPECIAL, *NOT_FINITE))):
            yield (
                name,
                _replaced(inputs, {p: _scattered(torch, inputs[p], pool, shift) for shift, p in enumerate(numbers)}),
            )
        yield "tiny values", _replaced(inputs, {p: inputs[p].detach() * 1e-8 for p in numbers})
    if masks := [position for position in varying if _is_mask(torch, inputs[position])]:
        yield (
            "a row that is masked completely",
            _replaced(inputs, {p: _first_row_masked(torch, inputs[p]) for p in masks}),
        )


def _replaced(inputs: Sequence[Any], others: dict[int, Any]) -> list[Any]:
    return [others.get(position, value) for position, value in enumerate(inputs)]


def _scattered(torch: Any, like: Any, pool: Sequence[float], shift: int) -> Any:
    """Values of a pool in turns, in the layout of a tensor; a `shift` for each input brings other pairs together."""
    values = torch.tensor(pool, dtype=like.dtype)
    places = (torch.arange(like.numel()) * (2 * shift + 1) + shift) % len(pool)
    return torch.empty_like(like).copy_(values[places].reshape(like.shape))


def _is_mask(torch: Any, value: Any) -> bool:
    if value.dim() < 2:
        return False
    return value.dtype is torch.bool or (value.is_floating_point() and bool((value <= _MASKED_BELOW).any()))


def _first_row_masked(torch: Any, mask: Any) -> Any:
    """A mask whose first row, along the last axis, is False or as low as its lowest number everywhere."""
    lowest = False if mask.dtype is torch.bool else mask.min().item()
    changed = mask.detach().clone()
    changed.select(-2, 0).fill_(lowest)
    return changed
