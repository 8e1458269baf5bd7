"""Which operators a kernel computes, in words: an attribute of its function, from where the function is made on.

Functions have names too, but a name has numbers in it that make it unique in its module, and is another one after a
rewriting. Workloads and reports are called by what is said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tvm import tirx

from flextune.tvm_types import IRModule, PrimFunc, RelaxFunction

_OPERATORS = "flextune.operators"
_NAMED_OPERATORS = 6


def computing(function: RelaxFunction | PrimFunc, operators: Sequence[str]) -> RelaxFunction | PrimFunc:
    """The function with a note of its operators."""
    return function.with_attr(_OPERATORS, list(operators))


def operators_of(function: RelaxFunction | PrimFunc) -> tuple[str, ...]:
    """The operators of a kernel, or of a function that becomes one, in program order, but for those that are views."""
    return tuple(map(str, function.attrs[_OPERATORS]))


def described(operators: Sequence[str]) -> str:
    """The operators as one word, which workloads are called by.

    >>> described(("conv2d", "add", "relu"))
    'conv2d_add_relu'
    """
    return "_".join(operators if len(operators) <= _NAMED_OPERATORS else (*operators[:_NAMED_OPERATORS], "more"))


def with_operators(lowered: IRModule, groups: Mapping[str, RelaxFunction]) -> IRModule:
    """A lowered module whose every PrimFunc says what it computes: that which the group of its name says.

    Those that were made of no group have their names from TVM, which says it there and nowhere else.
    """
    for variable, function in lowered.functions_items():
        name = variable.name_hint
        if isinstance(function, tirx.PrimFunc) and _OPERATORS not in (function.attrs or {}):
            operators = operators_of(groups[name]) if name in groups else (operators_in_name(name),)
            lowered.update_func(variable, computing(function, operators))
    return lowered


def operators_in_name(name: str) -> str:
    """The operators in a name that TVM gave a function, without the numbers that make it unique in its module.

    >>> operators_in_name("fused_conv2d10_add6_relu6")
    'conv2d_add_relu'
    """
    return re.sub(r"(\d+d)?\d*(?=_|$)", r"\1", name.removeprefix("fused_"))
