"""What a model takes and gives in one run: its inputs and outputs with the sizes that the arrays at hand have.

The C runtime checks the same again, for programs in C; both say it in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flextune.apply.signature import Signature
from flextune.errors import UsageError
from flextune.importing.values import ValueSpec
from flextune.workload.dim import Dim

Shapes = tuple[tuple[int, ...], ...]
"""Of the inputs, in their order."""

_KEPT = 64
"""Combinations of sizes that are remembered: finding the ports anew takes tens of microseconds."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs of one run, all sizes numbers."""

    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]


@dataclass(slots=True)
class PortReader:
    """Finds the ports for the shapes of inputs."""

    signature: Signature
    _known: dict[Shapes, Ports] = field(default_factory=dict)

    def of(self, shapes: Shapes) -> Ports:
        """UsageError for a rank, a size outside of its range, and inputs that disagree."""
        found = self._known.get(shapes)
        if found is None:
            found = bound_ports(self.signature, read_sizes(self.signature, shapes))
            if len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[shapes] = found
        return found


def bound_ports(signature: Signature, sizes: Mapping[str, int]) -> Ports:
    """The ports for these sizes of the dimensions. UsageError where an output would have a negative size."""
    outputs = tuple(spec.bind(sizes) for spec in signature.outputs)
    for spec, declared in zip(outputs, signature.outputs, strict=True):
        if declared.sizes and min(spec.shape) < 0:
            text = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise UsageError(f"the model cannot be run with {text}: output {spec.name!r} would have a negative size")
    return Ports(tuple(spec.bind(sizes) for spec in signature.inputs), outputs)


def read_sizes(signature: Signature, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """The size of each dimension, from the shapes of the inputs. UsageError as `PortReader.of` says."""
    dims = {dim.name: dim for dim in signature.dims}
    origins: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for spec, shape in zip(signature.inputs, shapes, strict=True):
        if len(shape) != len(spec.shape):
            raise UsageError(f"input {spec} expected, got one of {len(shape)} dimensions: {list(shape)}")
        for axis, (wanted, size) in enumerate(zip(spec.axis_sizes, shape, strict=True)):
            name = None if isinstance(wanted, int) else wanted.name
            if name is None:
                continue
            where = f"input {spec.name!r}, axis {axis}"
            if name not in sizes:
                _check_size(dims[name], size, where)
                sizes[name], origins[name] = size, where
            elif sizes[name] != size:
                raise UsageError(f"{where}: {size} is given for {name}, which is {sizes[name]} by {origins[name]}")
    _check_others(signature, sizes, shapes)
    return sizes


def typical_sizes(dims: Sequence[Dim]) -> dict[str, int]:
    """A size of each dimension in the middle of its range, where sizes twice as large are as far as half as large."""
    return {dim.name: dim.middle for dim in dims}


def _check_size(dim: Dim, size: int, where: str) -> None:
    text = f"{dim.name}={dim.sizes[0]}..{dim.sizes[-1]}"
    if not dim.sizes[0] <= size <= dim.sizes[-1]:
        raise UsageError(f"{where}: {size} is out of the range {text}")
    if size % dim.multiple:
        raise UsageError(f"{where}: {size} is no multiple of {dim.multiple}, as {text} must be")


def _check_others(signature: Signature, sizes: Mapping[str, int], shapes: Sequence[tuple[int, ...]]) -> None:
    """Axes that are numbers or more than one dimension."""
    for spec, shape in zip(signature.inputs, shapes, strict=True):
        for axis, (wanted, size) in enumerate(zip(spec.bind(sizes).shape, shape, strict=True)):
            if wanted != size:
                raise UsageError(f"input {spec.name!r}, axis {axis}: {size} is given, expected {wanted}")
