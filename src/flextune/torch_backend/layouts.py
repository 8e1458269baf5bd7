"""How tensors lie in memory: as they do in one run, and as expressions over sizes that change from call to call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flextune.errors import ModelError
from flextune.importing.torch_sizes import size_expression
from flextune.workload.dim_expr import DimExpr


@dataclass(frozen=True, slots=True)
class Strided:
    """How a tensor lies in its memory."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements follow each other in their order."""
        if 0 in self.size:
            return True
        reach = 1
        for size, stride in zip(reversed(self.size), reversed(self.stride), strict=True):
            if size != 1 and stride != reach:
                return False
            reach *= size
        return True

    def checked(self) -> Strided:
        """Itself. ModelError where elements share memory in another way than by broadcasting."""
        reach = 1
        for stride, size in sorted(zip(self.stride, self.size, strict=True)):
            if size <= 1 or stride == 0:
                continue
            if stride < reach:
                raise ModelError("elements of an output overlap")
            reach = stride * (size - 1) + reach
        return self


@dataclass(frozen=True, slots=True)
class Layout:
    """A tensor's memory. Layouts of one run with equal `tensor` are the same tensor, with equal `storage` views of the
    same memory, which has so many `elements`."""

    tensor: int
    storage: int
    dtype: Any
    where: Strided
    elements: int

    @classmethod
    def of(cls, tensor: Any, identity: int) -> Layout:
        memory = tensor.untyped_storage()
        where = Strided(tuple(tensor.size()), tuple(tensor.stride()), tensor.storage_offset())
        return cls(identity, int(memory._cdata), tensor.dtype, where, memory.nbytes() // tensor.element_size())


def layouts_of(values: Sequence[Any]) -> list[Layout | int]:
    """Layouts of the tensors among the values of one run, and the numbers among them."""
    first = first_places(values)
    return [
        value if isinstance(value, int) else Layout.of(value, place) for value, place in zip(values, first, strict=True)
    ]


def first_places(values: Sequence[Any]) -> list[int]:
    """Where each value, the very object, occurs first."""
    seen: dict[int, int] = {}
    return [seen.setdefault(id(value), place) for place, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class SymbolicLayout:
    """A layout whose numbers are expressions over the sizes of a graph."""

    storage: int
    dtype: Any
    size: tuple[DimExpr, ...]
    stride: tuple[DimExpr, ...]
    offset: DimExpr
    stored_bytes: DimExpr
    item_bytes: int

    @classmethod
    def of(cls, tensor: Any) -> SymbolicLayout:
        """Of a tensor as the tracer knows it, without elements. ModelError for sizes that are no expressions."""
        memory = tensor.untyped_storage()
        return cls(
            int(memory._cdata),
            tensor.dtype,
            tuple(map(size_expression, tensor.size())),
            tuple(map(size_expression, tensor.stride())),
            size_expression(tensor.storage_offset()),
            size_expression(memory.nbytes()),
            tensor.element_size(),
        )

    def bind(self, sizes: Mapping[str, int], identity: int) -> Layout:
        """The layout at these sizes."""
        where = Strided(
            tuple(size.bind(sizes) for size in self.size),
            tuple(stride.bind(sizes) for stride in self.stride),
            self.offset.bind(sizes),
        )
        return Layout(identity, self.storage, self.dtype, where, self.stored_bytes.bind(sizes) // self.item_bytes)
