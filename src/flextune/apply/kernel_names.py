"""Names of the kernels in a built model: each of a task's ends with its workload's key, so that profiles find it."""

from __future__ import annotations

import re
from collections.abc import Container

_ENDING = re.compile(r"_k([0-9a-f]{16})(?:_\d+)?$")


def ending(key: str) -> str:
    """How the names of the functions of a workload with this key end (after `_`), but for a number."""
    return f"k{key}"


def key_of(name: str) -> str | None:
    """The workload's key in a kernel's name.

    >>> key_of("conv2d_k0123456789abcdef_2")
    '0123456789abcdef'
    """
    found = _ENDING.search(name)
    return found and found.group(1)


def variant_name(name: str, taken: Container[str]) -> str:
    """A name for another function of the same kernel, with the lowest number that is free.

    >>> variant_name("conv2d_k0123456789abcdef_1", {"conv2d_k0123456789abcdef_1"})
    'conv2d_k0123456789abcdef_2'
    """
    stem, number = _ENDING.sub(r"_k\1", name), 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"
