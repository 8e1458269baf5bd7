"""Kernels of the operators that say sizes (`flextune.importing.sized.nodes`), for tensors of any sizes.

Every axis of every tensor has a symbol of its own, so a kernel needs no more than its tensors. What else depends on
sizes (where a slice begins) is a tensor of whole numbers. They are kernels of their own: TVM fuses none whose sizes its
inputs do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import te, tirx

from flextune.tvm_types import Expression, PrimFunc, Tensor

Index = Sequence[Expression]
Read = Callable[[Tensor, Tensor, Index], Expression]


def iota() -> PrimFunc:
    """0, 1, 2, ..."""
    shape = _symbols("n", 1)
    return _kernel([te.compute(shape, lambda i: tirx.Cast("int64", i), name="iota")], "iota")


def slice_to(rank: int, dtype: str, steps: Sequence[int]) -> PrimFunc:
    """Element i of each axis is `begins + i * steps` of the data."""

    def element(data: Tensor, begins: Tensor, index: Index) -> Expression:
        return data(*(begins[axis] + place * steps[axis] for axis, place in enumerate(index)))

    return _of_two(rank, dtype, element, "slice")


def pad_to(rank: int, dtype: str, mode: str, value: str) -> PrimFunc:
    """Element i of each axis is `i - befores` of the data, or what pads it: `value`, a number or a truth."""

    def element(data: Tensor, befores: Tensor, index: Index) -> Expression:
        places = [place - befores[axis] for axis, place in enumerate(index)]
        sizes = list(data.shape)
        if mode != "constant":
            return data(*(_PLACES[mode](place, size) for place, size in zip(places, sizes, strict=True)))
        inside = tirx.all(*(tirx.And(place >= 0, place < size) for place, size in zip(places, sizes, strict=True)))
        return tirx.if_then_else(inside, data(*places), tirx.const(_as_element(value, dtype), dtype))

    return _of_two(rank, dtype, element, "pad")


def tile_to(rank: int, dtype: str) -> PrimFunc:
    """The data over and over."""
    data = te.placeholder(_symbols("n", rank), dtype, "data")

    def element(*index: Expression) -> Expression:
        return data(*(tirx.floormod(place, size) for place, size in zip(index, data.shape, strict=True)))

    return _kernel([data, te.compute(_symbols("m", rank), element, name="tile")], "tile")


def _of_two(rank: int, dtype: str, element: Read, name: str) -> PrimFunc:
    data = te.placeholder(_symbols("n", rank), dtype, "data")
    places = te.placeholder((rank,), "int64", "places")
    result = te.compute(_symbols("m", rank), lambda *index: element(data, places, index), name=name)
    return _kernel([data, places, result], name)


def _as_element(value: str, dtype: str) -> float | int:
    if dtype == "bool":
        return int(value == "True")
    return float(value) if dtype.startswith(("float", "bfloat")) else int(value)


def _edge(place: Expression, size: Expression) -> Expression:
    return tirx.max(tirx.min(place, size - 1), 0)


def _reflected(place: Expression, size: Expression) -> Expression:
    """Once at either end."""
    positive = tirx.Select(place < 0, -place, place)
    return tirx.Select(positive > size - 1, 2 * (size - 1) - positive, positive)


_PLACES: dict[str, Callable[[Expression, Expression], Expression]] = {
    "edge": _edge,
    "reflect": _reflected,
    "wrap": tirx.floormod,
}


def _symbols(stem: str, rank: int) -> list[Expression]:
    return [tirx.Var(f"{stem}{axis}", "int64") for axis in range(rank)]


def _kernel(tensors: Sequence[Tensor], name: str) -> PrimFunc:
    function = te.create_prim_func(list(tensors))
    return function.with_attr({"tirx.noalias": True, "global_symbol": name})
