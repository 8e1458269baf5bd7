"""What kernels of a built model are called, and which workloads they are: an attribute of their functions says it."""

from __future__ import annotations

from collections.abc import Container, Mapping

from tvm import tirx

from flextune.tvm_types import IRModule, PrimFunc

_WORKLOAD = "flextune.workload"


def kernel_name(operators: str, key: str) -> str:
    """For people: what a kernel computes, and the key that its workload's records are filed under.

    >>> kernel_name("conv2d", "0123456789abcdef")
    'conv2d_k0123456789abcdef'
    """
    return f"{operators}_k{key}"


def variant_name(name: str, taken: Container[str]) -> str:
    """A name for another function of the same kernel, with the lowest number that is free.

    >>> variant_name("conv2d", {"conv2d", "conv2d_1"})
    'conv2d_2'
    """
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def of_workload(function: PrimFunc, key: str) -> PrimFunc:
    """The function as a kernel of the workload with this key."""
    return function.with_attr(_WORKLOAD, key)


def workload_keys(module: IRModule) -> Mapping[str, str]:
    """The workload's key of each kernel of a module, by its name; kernels that are no workload's are left out."""
    functions = {name.name_hint: each for name, each in module.functions_items() if isinstance(each, tirx.PrimFunc)}
    return {name: str(each.attrs[_WORKLOAD]) for name, each in functions.items() if _WORKLOAD in (each.attrs or {})}
