"""The sizes of a model's inputs, from what it declares and the caller says: all, or one message of what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import onnx

from flextune.errors import ModelError, UsageError
from flextune.importing.shapes.names import input_shapes
from flextune.importing.shapes.tracked import Shape
from flextune.importing.types import element_text, type_text
from flextune.importing.values import ValueSpec
from flextune.registry import nearest
from flextune.workload.dim import Dim

Shapes = Mapping[str, tuple[int, ...]]

_IMAGE_RANK = 4


def input_specs(
    inputs: Sequence[onnx.ValueInfoProto], shapes: Shapes, dims: Iterable[Dim], source: str
) -> tuple[list[ValueSpec], list[str]]:
    """Every input with its sizes, and a note for each size that nobody gave.

    `shapes` has shapes of inputs by name, `dims` sizes and ranges of dimensions by name; both hold for every input that
    has the dimension. A first dimension (the batch) that is not given becomes 1, unless there are ranges. ModelError
    that names all sizes that are missing and all that contradict each other; UsageError for unknown names.
    """
    resolution = _Resolution(inputs, source)
    resolution.take_dims(dims)
    for name, shape in shapes.items():
        resolution.take_shape(name, shape)
    resolution.raise_problems()
    resolution.set_batches(shapes)
    specs = [resolution.spec(value, shapes) for value in inputs]
    resolution.raise_problems()
    return specs, resolution.notes


def default_dims(inputs: Sequence[onnx.ValueInfoProto]) -> tuple[Dim, ...]:
    """Usual ranges of all dimensions that are no numbers; none where these are nothing but batches.

    A first dimension is a batch, those from the third on are of images where the last one is open, and any other one is
    a length.
    """
    found: dict[str, Dim] = {}
    for shape in input_shapes(inputs).values():
        for axis, size in reversed([*enumerate(shape or ())]):
            for name in sorted(size.names - found.keys()):
                found[name] = Dim(name, *_usual_range(axis, shape or ()))
    order = [name for shape in input_shapes(inputs).values() for size in shape or () for name in sorted(size.names)]
    is_batch = all(dim.hi == _USUAL_BATCH[1] for dim in found.values())
    return () if is_batch else tuple(found[name] for name in dict.fromkeys(order))


_USUAL_BATCH, _USUAL_IMAGE, _USUAL_LENGTH = (1, 8), (32, 1024), (1, 512)


def _usual_range(axis: int, shape: Shape) -> tuple[int, int]:
    if axis == 0:
        return _USUAL_BATCH
    is_image = len(shape) >= _IMAGE_RANK and shape[-1].value is None
    return _USUAL_IMAGE if is_image and axis > 1 else _USUAL_LENGTH


def dimension_names(inputs: Sequence[onnx.ValueInfoProto]) -> frozenset[str]:
    """The names of all dimensions of inputs that are no numbers."""
    return frozenset(name for shape in input_shapes(inputs).values() for size in shape or () for name in size.names)


@dataclass
class _Resolution:
    inputs: Sequence[onnx.ValueInfoProto]
    source: str
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._declared = input_shapes(self.inputs)
        self._sizes: dict[str, int] = {}
        self._origins: dict[str, str] = {}
        self._ranges: dict[str, Dim] = {}

    def raise_problems(self) -> None:
        if self.problems:
            raise ModelError(f"{self.source}: " + "; ".join(dict.fromkeys(self.problems)))

    def take_dims(self, dims: Iterable[Dim]) -> None:
        names = {name for shape in self._declared.values() for size in shape or () for name in size.names}
        for dim in dims:
            if dim.name not in names:
                raise UsageError(
                    f"{self.source} has no dimension {dim.name!r}: {nearest(dim.name, tuple(sorted(names)))}"
                )
            if dim.fixed is None:
                self._ranges[dim.name] = dim
            else:
                self._set(dim.name, dim.fixed, f"--dim {dim.name}={dim.fixed}")

    def take_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Learn sizes from an input's shape."""
        if name not in {value.name for value in self.inputs}:
            raise ModelError(
                f"{self.source} has no input {name!r}; its inputs are {', '.join(value.name for value in self.inputs)}"
            )
        if any(size < 0 for size in shape):
            raise ModelError(f"the shape of input {name!r} must be of sizes >= 0, got [{', '.join(map(str, shape))}]")
        declared = self._declared.get(name)
        if declared is None:
            return
        if len(declared) != len(shape) or any(
            size.value not in (None, wanted) for size, wanted in zip(declared, shape, strict=True)
        ):
            self.problems.append(f"{self._declaration(name)}; the shape [{', '.join(map(str, shape))}] does not fit it")
            return
        for size, wanted in zip(declared, shape, strict=True):
            if size.name is not None:
                self._set(size.name, wanted, f"--shape {name}={'x'.join(map(str, shape))}")

    def _set(self, name: str, size: int, origin: str) -> None:
        if self._sizes.get(name, size) != size:
            self.problems.append(
                f"{name!r} is one size, and is {self._sizes[name]} in {self._origins[name]} but {size} in {origin}"
            )
            return
        if name in self._ranges and size not in self._ranges[name].sizes:
            self.problems.append(f"{size} in {origin} is no size of --dim {self._ranges[name]}")
        self._sizes[name] = size
        self._origins.setdefault(name, origin)

    def set_batches(self, shapes: Shapes) -> None:
        """First dimensions that nobody gave become 1, if they are no other dimension of any input."""
        if self._ranges:
            return
        inner = {name for shape in self._declared.values() for size in (shape or ())[1:] for name in size.names}
        for value in self.inputs:
            shape = self._declared.get(value.name)
            name = shape[0].name if shape and value.name not in shapes else None
            if name is None or name in inner or name in self._origins or name in self._ranges:
                continue
            self._sizes[name] = 1
            text = value.type.tensor_type.shape.dim[0].dim_param or "?"
            self.notes.append(f"input {value.name!r}: dynamic batch {text!r} set to 1")

    def spec(self, value: onnx.ValueInfoProto, shapes: Shapes) -> ValueSpec:
        if not value.type.HasField("tensor_type"):
            return ValueSpec(value.name, (), type_text(value.type))
        dtype, declared = element_text(value.type.tensor_type.elem_type), self._declared.get(value.name)
        asked = shapes.get(value.name)
        if declared is None:
            if asked is None:
                self.problems.append(f"input {value.name!r} has no shape; {_hint(value.name, '1x3x224x224')}")
            return ValueSpec(value.name, asked or (), dtype)
        known = self._sizes.keys() | self._ranges.keys()
        if any(not size.names <= known for size in declared):
            if asked is None:
                self.problems.append(
                    f"input {value.name!r} has dynamic dimensions [{self._texts(value.name)}]; "
                    f"{_hint(value.name, self._example(declared))}{self._dim_hint(declared, known)}"
                )
                return ValueSpec(value.name, (), dtype)
            return ValueSpec(value.name, asked, dtype)
        spec = ValueSpec.symbolic(value.name, [size.substitute(self._sizes) for size in declared], dtype)
        if asked is not None and asked != spec.shape:
            self.problems.append(
                f"{self._declaration(value.name)}, which is {spec} for the other sizes given; "
                f"the shape [{', '.join(map(str, asked))}] does not fit it"
            )
        return spec

    def _dim_hint(self, declared: Shape, known: AbstractSet[str]) -> str:
        names = dict.fromkeys(name for size in declared for name in sorted(size.names - known))
        return f", or {' '.join(f'--dim {name}=1..512' for name in names)} (ranges, or one size each)"

    def _declaration(self, name: str) -> str:
        return f"input {name!r} is declared as [{self._texts(name)}]"

    def _texts(self, name: str) -> str:
        """The dimensions in the model's words."""
        (value,) = (value for value in self.inputs if value.name == name)
        dims = value.type.tensor_type.shape.dim
        known = [dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims]
        return ", ".join(
            str(dim.dim_value) if is_known else dim.dim_param or "?" for dim, is_known in zip(dims, known, strict=True)
        )

    def _example(self, declared: Shape) -> str:
        """Sizes of the right number: those that are known, and usual ones."""
        usual = 224 if len(declared) >= _IMAGE_RANK else 128
        sizes = [
            size.bind(self._sizes) if size.names <= self._sizes.keys() else 1 if axis == 0 else usual
            for axis, size in enumerate(declared)
        ]
        return "x".join(map(str, sizes))


def _hint(name: str, example: str) -> str:
    return f"give its shape with --shape {name}={example} (its own sizes)"
