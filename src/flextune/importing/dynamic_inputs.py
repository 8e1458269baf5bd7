"""Inputs whose sizes stay symbolic: which sizes the user gave, which have a range, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from flextune.errors import ModelError
from flextune.importing.types import element_text, type_text
from flextune.importing.values import ValueSpec
from flextune.registry import nearest
from flextune.workload.dim import NAME, Dim
from flextune.workload.dim_expr import DimExpr


def symbolic_specs(
    inputs: Sequence[onnx.ValueInfoProto], shapes: Mapping[str, tuple[int, ...]], dims: Sequence[Dim], source: str
) -> tuple[tuple[ValueSpec, ...], tuple[Dim, ...]]:
    """The inputs with sizes over the dimensions that have a range, and these dimensions in the order they are met.

    A size that `shapes` gives for an axis holds for every axis of that name, as does a range of one size. ModelError
    for shapes that do not fit or contradict each other, for an unknown dimension, and for all sizes that are missing.
    """
    declared = {value.name: _declared(value, shapes.get(value.name), source) for value in inputs if _is_tensor(value)}
    names = list(dict.fromkeys(name for sizes in declared.values() for name in sizes if isinstance(name, str)))
    if unknown := [dim.name for dim in dims if dim.name not in names]:
        raise ModelError(f"{source} has no dimension {unknown[0]!r}: {nearest(unknown[0], tuple(names))}")
    given = _Given(source, {dim.name: dim.fixed for dim in dims if dim.fixed is not None})
    for name, asked in shapes.items():
        given.add(name, declared[name], asked)
    ranges = {dim.name: dim for dim in dims if dim.name not in given.sizes}
    _check_complete(declared, {*given.sizes, *ranges}, source)
    specs = []
    for value in inputs:
        if not _is_tensor(value):
            specs.append(ValueSpec(value.name, (), type_text(value.type)))
            continue
        sizes = [
            DimExpr.of(given.sizes.get(each, each) if isinstance(each, str) else each) for each in declared[value.name]
        ]
        specs.append(ValueSpec.symbolic(value.name, sizes, element_text(value.type.tensor_type.elem_type)))
    return tuple(specs), tuple(ranges[name] for name in names if name in ranges)


@dataclass(slots=True)
class _Given:
    """Sizes by the names of their dimensions."""

    source: str
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, declared: Sequence[int | str], asked: tuple[int, ...]) -> None:
        """The sizes of one input's shape."""
        for size, wanted in zip(declared, asked, strict=True):
            if isinstance(size, str) and self.sizes.setdefault(size, wanted) != wanted:
                raise ModelError(
                    f"{self.source}: input {name!r} is given {wanted} for {size}, which is {self.sizes[size]} elsewhere"
                )


def _is_tensor(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.HasField("tensor_type"))


def _declared(value: onnx.ValueInfoProto, asked: tuple[int, ...] | None, source: str) -> list[int | str]:
    """Sizes, and names of those that are not declared."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        if asked is None:
            raise ModelError(
                f"{source}: input {value.name!r} has no shape; give it with --shape {value.name}=1x3x224x224"
            )
        return list(asked)
    sizes = [_size(value.name, axis, dim) for axis, dim in enumerate(tensor.shape.dim)]
    fits = asked is None or (
        len(asked) == len(sizes)
        and all(isinstance(size, str) or size == wanted for size, wanted in zip(sizes, asked, strict=True))
    )
    if not fits:
        raise ModelError(
            f"{source}: input {value.name!r} is declared as {_text(sizes)}; {_text(asked or ())} does not fit it"
        )
    return sizes


def _size(name: str, axis: int, dim: onnx.TensorShapeProto.Dimension) -> int | str:
    """A number, the name that the model gives a size, or one made of the input's."""
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    text = re.sub(r"\W+", "_", dim.dim_param or f"{name}_{axis}", flags=re.ASCII).strip("_")
    return text if NAME.fullmatch(text) else f"size_{text}"


def _check_complete(declared: Mapping[str, Sequence[int | str]], known: set[str], source: str) -> None:
    missing = list(
        dict.fromkeys(
            each for sizes in declared.values() for each in sizes if isinstance(each, str) and each not in known
        )
    )
    if missing:
        where = "; ".join(f"{name}: {_text(sizes)}" for name, sizes in declared.items() if set(sizes) & set(missing))
        example = " ".join(f"--dim {name}=1..512" for name in missing)
        raise ModelError(
            f"{source}: no size and no range is known for {', '.join(missing)} in {where}; give each with --dim, "
            f"such as {example}, or the whole shape of an input with --shape"
        )


def _text(sizes: Iterable[int | str]) -> str:
    return f"[{', '.join(map(str, sizes))}]"
