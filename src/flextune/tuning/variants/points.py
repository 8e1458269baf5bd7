"""Sizes to measure at, for all that a program may be run at: points of a grid, and how much each stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flextune.errors import UsageError
from flextune.workload.dim import LOG, UNIFORM, Dim

_LISTED = 1 << 16
"""Sizes of a dimension that are looked at one by one; of longer ranges, as many that are spread over them."""


class Places(Protocol):
    """Sizes to measure at."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the symbols."""
        ...

    @property
    def points(self) -> tuple[tuple[int, ...], ...]:
        """A size of each symbol."""
        ...

    @property
    def weights(self) -> np.ndarray:
        """The part of all runs that each point stands for."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Sizes that are met together: those of a kernel when the model has sizes spread by weight."""

    names: tuple[str, ...]
    points: tuple[tuple[int, ...], ...]
    weights: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], weighted: Iterable[tuple[tuple[int, ...], float]]) -> Sample:
        """Each point once, with all its weight, in ascending order of the products of sizes."""
        total: dict[tuple[int, ...], float] = {}
        for point, weight in weighted:
            total[point] = total.get(point, 0.0) + weight
        points = sorted(total, key=lambda point: (math.prod(point), point))
        return cls(tuple(names), tuple(points), np.array([total[point] for point in points]))


@dataclass(frozen=True, slots=True)
class Grid:
    """Some sizes of each dimension, ascending: every combination of them is a point."""

    dims: tuple[Dim, ...]
    sizes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.dims) != len(self.sizes) or not all(self.sizes):
            raise UsageError("a grid needs sizes of every dimension")
        for dim, sizes in zip(self.dims, self.sizes, strict=True):
            if list(sizes) != sorted(set(sizes)) or any(size not in dim.sizes for size in sizes):
                raise UsageError(f"expected ascending sizes of {dim}, got {list(sizes)}")

    @classmethod
    def by_weight(cls, dims: Sequence[Dim], points: int) -> Grid:
        """About so many points at most, where the sizes are that come most often; the ends of ranges are among them.

        >>> Grid.by_weight([Dim.parse("rows=1..512")], 4).sizes
        ((1, 8, 64, 512),)
        """
        each = max(2, math.floor(points ** (1 / len(dims)) + 1e-9)) if dims else 0
        return cls(tuple(dims), tuple(_quantiles(dim, each) for dim in dims))

    @classmethod
    def of_windows(cls, dims: Sequence[Dim]) -> Grid:
        """The ends of CINN's windows of every dimension (1, 2 to 128, to 512, to 2048, ...), clipped to its range.

        >>> Grid.of_windows([Dim.parse("rows=2..600")]).sizes
        ((2, 128, 129, 512, 513, 600),)
        """
        return cls(tuple(dims), tuple(tuple(sorted({end for ends in windows(dim) for end in ends})) for dim in dims))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the dimensions."""
        return tuple(dim.name for dim in self.dims)

    @property
    def points(self) -> tuple[tuple[int, ...], ...]:
        """All combinations, those of the first dimension outermost."""
        return tuple(itertools.product(*self.sizes))

    @property
    def weights(self) -> np.ndarray:
        """The part of all runs that each point stands for: of the sizes that are nearer to it than to others."""
        shares = [self._shares(dim, sizes) for dim, sizes in zip(self.dims, self.sizes, strict=True)]
        return np.array([math.prod(point) for point in itertools.product(*shares)])

    @property
    def edges(self) -> tuple[tuple[int, ...], ...]:
        """Of each dimension, the first size that belongs to each of its sizes but the first: between two, by factor."""
        return tuple(tuple(itertools.starmap(_edge, itertools.pairwise(sizes))) for sizes in self.sizes)

    def cell(self, sizes: Mapping[str, int]) -> int:
        """The number of the point that stands for these sizes."""
        place = 0
        for dim, own, edges in zip(self.dims, self.sizes, self.edges, strict=True):
            place = place * len(own) + sum(sizes[dim.name] >= edge for edge in edges)
        return place

    def _shares(self, dim: Dim, sizes: tuple[int, ...]) -> list[float]:
        bounds = [dim.sizes[0], *itertools.starmap(_edge, itertools.pairwise(sizes)), dim.sizes[-1] + 1]
        parts = [_weight(dim, low, high) for low, high in itertools.pairwise(bounds)]
        return [part / sum(parts) for part in parts]


def windows(dim: Dim) -> tuple[tuple[int, int], ...]:
    """CINN's windows of a dimension: the first and the last size of each that has any in the range."""
    found, low, high = [], 1, 1
    while low <= dim.hi:
        first = max(low, dim.lo) + -max(low, dim.lo) % dim.multiple
        last = min(high, dim.hi) // dim.multiple * dim.multiple
        if first <= last:
            found.append((first, last))
        low, high = high + 1, _FIRST_WINDOW if high == 1 else high * _NEXT_WINDOW
    return tuple(found)


_FIRST_WINDOW, _NEXT_WINDOW = 128, 4


def _edge(low: int, high: int) -> int:
    return max(low + 1, math.ceil(math.sqrt(max(low, 1) * high)))


def _listed(dim: Dim) -> Iterator[int]:
    step = max(1, len(dim.sizes) // _LISTED)
    yield from dim.sizes[::step]


def _weight(dim: Dim, low: int, high: int) -> float:
    """Of all sizes from `low` to below `high`."""
    if not isinstance(dim.weights, str):
        return sum(weight for size, weight in dim.weights if low <= size < high)
    return float(high - low) if dim.weights == UNIFORM else math.log(max(high, 2) / max(low, 1))


def _quantiles(dim: Dim, count: int) -> tuple[int, ...]:
    """Sizes that cut the range into parts of equal weight, with both ends."""
    if not isinstance(dim.weights, str):
        heaviest = sorted(dim.weights, key=lambda pair: -pair[1])[:count]
        return tuple(sorted({size for size, _ in heaviest}))
    low, high = dim.sizes[0], dim.sizes[-1]
    if len(dim.sizes) <= count:
        return tuple(dim.sizes)
    is_log = dim.weights == LOG
    wanted = np.geomspace(max(low, 1), high, count) if is_log else np.linspace(low, high, count)
    sizes = {min(max(round(each / dim.multiple) * dim.multiple, low), high) for each in wanted[1:-1]}
    return tuple(sorted({low, high, *sizes}))


def random_points(dims: Sequence[Dim], count: int, rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
    """Sizes drawn by their weights, to verify a choice at."""
    columns = []
    for dim in dims:
        sizes = list(_listed(dim))
        weights = np.array([dim.weight(size) for size in sizes])
        columns.append([int(each) for each in rng.choice(sizes, count, p=weights / weights.sum())])
    return tuple(zip(*columns, strict=True))
