"""What records of a group with symbolic sizes are filed under."""

from __future__ import annotations

from collections.abc import Iterator

from flextune.analysis.symbols import bound, symbols_of
from flextune.tvm_types import PrimFunc
from flextune.workload.tir import from_prim_func

_FIRST = 53
"""Hardly a size in a model is this prime or one of those that follow, and their products are no large tensors."""


def group_key(function: PrimFunc, constants: tuple[int, ...]) -> str:
    """Equal for groups that compute the same, whatever the ranges of their sizes and the names of these are.

    It is the key of the workload at sizes that hardly occur elsewhere.
    """
    sizes = dict(zip((str(each.name) for each in symbols_of(function)), _primes(), strict=False))
    return from_prim_func(bound(function, sizes), "group", constants).key


def _primes() -> Iterator[int]:
    number = _FIRST
    while True:
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            yield number
        number += 1
