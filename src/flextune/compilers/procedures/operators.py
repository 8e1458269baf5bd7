"""What each operator does with its inputs: it checks them, and calls the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flextune.compilers.procedures.library import KINDS, Generator, Library
from flextune.errors import BuildError
from flextune.importing.values import array_type

Number = int | float
Attribute = Number | str | Sequence[int]
"""Of a node; an element type by its name in NumPy."""
Arrays = Sequence[np.ndarray | None]
"""The inputs of a node; None for one that is left out."""


@dataclass(slots=True, eq=False)
class Procedure:
    """A node that is ready to run: its attributes, and the random numbers that it draws."""

    operator: str
    attributes: Mapping[str, Attribute]
    library: Library
    _generator: Generator | None = field(default=None)

    def __call__(self, inputs: Arrays) -> Sequence[np.ndarray]:
        """Its results. BuildError for inputs that it is not defined for."""
        read = [None if array is None else np.asarray(array, order="C") for array in inputs]
        return OPERATORS[self.operator](self, read)

    def number(self, name: str, default: Number) -> Number:
        """An attribute that is a number."""
        found = self.attributes.get(name, default)
        if not isinstance(found, int | float):
            raise BuildError(f"{self.operator}: attribute {name} is {found!r:.80}, and no number")
        return found

    def axis(self, rank: int) -> int | None:
        """The attribute of this name, from 0 on; None where there is none."""
        if "axis" not in self.attributes:
            return None
        axis = int(self.number("axis", 0))
        if not -rank <= axis < rank:
            raise BuildError(f"{self.operator}: axis {axis} is none of a tensor of {rank} dimensions")
        return axis % rank

    @property
    def generator(self) -> Generator:
        """The numbers that it draws, one run after the other; the same ones for the same `seed`."""
        if self._generator is None:
            seed = np.float32(self.number("seed", 0.0)).view(np.uint32)
            self._generator = self.library.generator(int(seed) if "seed" in self.attributes else None)
        return self._generator


def _needed(procedure: Procedure, inputs: Arrays, position: int) -> np.ndarray:
    array = inputs[position] if position < len(inputs) else None
    if array is None or array.dtype.name not in KINDS:
        what = "is missing" if array is None else f"is of {array.dtype}"
        raise BuildError(f"{procedure.operator}: input {position} {what}")
    return array


def _nonzero(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
    return [procedure.library.nonzero(_needed(procedure, inputs, 0))]


def _compress(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
    data, conditions = _needed(procedure, inputs, 0), _needed(procedure, inputs, 1)
    axis = procedure.axis(data.ndim)
    if conditions.dtype != np.bool_ or conditions.ndim != 1:
        raise BuildError(f"Compress: conditions are {conditions.dtype}{list(conditions.shape)}, not a row of booleans")
    data, along = (data.reshape(-1), 0) if axis is None else (data, axis)
    return [procedure.library.compress(data, along, conditions[: data.shape[along]])]


def _unique(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
    data = _needed(procedure, inputs, 0)
    axis = procedure.axis(data.ndim)
    data, along = (data.reshape(-1), 0) if axis is None else (data, axis)
    count = data.shape[along]
    width = data.size // count if count else 0
    items = np.ascontiguousarray(np.moveaxis(data, along, 0)).reshape(count, width)
    first, inverse, counts = procedure.library.unique(items, bool(procedure.number("sorted", 1)))
    return [np.take(data, first, along), first, inverse, counts]


def _non_max_suppression(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
    boxes, scores = _needed(procedure, inputs, 0), _needed(procedure, inputs, 1)
    given = [inputs[position] if position < len(inputs) else None for position in (2, 3, 4)]
    are_floats = boxes.dtype == scores.dtype == np.float32
    fit = boxes.ndim == scores.ndim == 3 and boxes.shape == (scores.shape[0], scores.shape[2], 4)
    if not (are_floats and fit):
        shapes = f"{boxes.dtype}{list(boxes.shape)} and {scores.dtype}{list(scores.shape)}"
        raise BuildError(f"NonMaxSuppression: boxes and scores are {shapes}")
    most, overlap = _lone(given[0], np.int64, 0), _lone(given[1], np.float32, 0.0)
    if not 0 <= overlap <= 1:
        raise BuildError(f"NonMaxSuppression: iou_threshold is {overlap}, and must be between 0 and 1")
    threshold = None if given[2] is None else np.array(_lone(given[2], np.float32, 0.0), np.float32)
    is_centre = bool(procedure.number("center_point_box", 0))
    found = procedure.library.non_max_suppression(boxes, scores, is_centre, max(int(most), 0), overlap, threshold)
    return [found]


def _lone(array: np.ndarray | None, dtype: type, default: Number) -> Number:
    if array is None:
        return default
    if array.dtype != dtype or array.size != 1:
        raise BuildError(f"NonMaxSuppression: expected one {dtype.__name__}, got {array.dtype}{list(array.shape)}")
    found: Number = array.reshape(-1)[0].item()
    return found


def _dtype(procedure: Procedure, default: np.dtype[np.generic]) -> np.dtype[np.generic]:
    name = procedure.attributes.get("dtype", default.name)
    if not isinstance(name, str) or name not in KINDS:
        raise BuildError(f"{procedure.operator}: it gives elements of the type {name!r:.80}")
    return array_type(name)


def _shape(procedure: Procedure) -> tuple[int, ...]:
    sizes = procedure.attributes.get("shape", ())
    if isinstance(sizes, int | float | str) or min(sizes, default=0) < 0:
        raise BuildError(f"{procedure.operator}: its shape is {sizes!r:.80}")
    return tuple(sizes)


def _uniform(procedure: Procedure, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Sequence[np.ndarray]:
    low, high = procedure.number("low", 0.0), procedure.number("high", 1.0)
    return [(low + (high - low) * procedure.generator.uniform(shape)).astype(dtype)]


def _normal(procedure: Procedure, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Sequence[np.ndarray]:
    mean, scale = procedure.number("mean", 0.0), procedure.number("scale", 1.0)
    return [(mean + scale * procedure.generator.normal(shape)).astype(dtype)]


def _multinomial(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
    logarithms = _needed(procedure, inputs, 0).astype(np.float64)
    if logarithms.ndim != 2 or not logarithms.shape[1]:
        raise BuildError(f"Multinomial: expected rows of classes, got a tensor {list(logarithms.shape)}")
    drawn = procedure.generator.multinomial(logarithms, int(procedure.number("sample_size", 1)))
    return [drawn.astype(_dtype(procedure, np.dtype(np.int32)))]


_Draw = Callable[[Procedure, tuple[int, ...], "np.dtype[np.generic]"], Sequence[np.ndarray]]
_Run = Callable[[Procedure, Arrays], Sequence[np.ndarray]]


def _of_shape(draw: _Draw) -> _Run:
    return lambda procedure, _: draw(procedure, _shape(procedure), _dtype(procedure, np.dtype(np.float32)))


def _like(draw: _Draw) -> _Run:
    def run(procedure: Procedure, inputs: Arrays) -> Sequence[np.ndarray]:
        like = _needed(procedure, inputs, 0)
        return draw(procedure, like.shape, _dtype(procedure, like.dtype))

    return run


OPERATORS: Mapping[str, _Run] = {
    "Compress": _compress,
    "Multinomial": _multinomial,
    "NonMaxSuppression": _non_max_suppression,
    "NonZero": _nonzero,
    "RandomNormal": _of_shape(_normal),
    "RandomNormalLike": _like(_normal),
    "RandomUniform": _of_shape(_uniform),
    "RandomUniformLike": _like(_uniform),
    "Unique": _unique,
}
