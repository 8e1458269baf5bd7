"""The fewest variants that lose little anywhere, and the expression that gives each size one of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.errors import UsageError
from flextune.tuning.variants.points import Grid, windows
from flextune.workload.dim import Dim

MOST_VARIANTS = 6
_COMBINED = 14
"""Variants of which all combinations are looked at: those that are best somewhere, and next to it."""


def fewest_variants(secs: np.ndarray, weights: np.ndarray, loss: float, most: int = MOST_VARIANTS) -> tuple[int, ...]:
    """The smallest set of variants whose best one is, at every point, within `loss` of the best of all.

    `secs` is [variants, points], infinite where a variant does not run. Of sets of one size the one with the smallest
    weighted loss; where `most` are not enough, the set of so many whose largest loss is smallest. UsageError if at some
    point no variant runs.
    """
    best = secs.min(axis=0)
    if not np.isfinite(best).all():
        raise UsageError("no variant runs at all sizes: nothing can be chosen")
    ratios = secs / best
    likely = _likely(ratios)
    found: tuple[float, float, tuple[int, ...]] | None = None
    for count in range(1, min(most, len(likely)) + 1):
        for chosen in itertools.combinations(likely, count):
            lost = ratios[list(chosen)].min(axis=0)
            worst = max(float(lost.max()), 1.0 + loss)
            mean = float((weights * np.log(np.minimum(lost, 1e9))).sum())
            if found is None or (worst, mean) < found[:2]:
                found = (worst, mean, chosen)
        assert found is not None
        if found[0] <= 1.0 + loss:
            break
    assert found is not None
    return found[2]


def _likely(ratios: np.ndarray) -> list[int]:
    """The variants that are near the best at most points, and those that are the best at one."""
    winners = list(dict.fromkeys(np.argmin(ratios, axis=0).tolist()))
    others = sorted(range(len(ratios)), key=lambda variant: float(np.median(ratios[variant])))
    return list(dict.fromkeys((*winners[:_COMBINED], *others)))[:_COMBINED]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Which variant a size gets: that of the point of a grid which stands for it."""

    grid: Grid
    variants: tuple[int, ...]
    """Of each point."""

    def __post_init__(self) -> None:
        if len(self.variants) != len(self.grid.points):
            raise UsageError(f"{len(self.grid.points)} points need a variant each, got {len(self.variants)}")

    @classmethod
    def of(cls, grid: Grid, secs: np.ndarray, chosen: Sequence[int]) -> Dispatch:
        """The fastest of the chosen variants at each point."""
        return cls(grid, tuple(int(chosen[place]) for place in np.argmin(secs[list(chosen)], axis=0)))

    @classmethod
    def by_windows(cls, grid: Grid, secs: np.ndarray) -> Dispatch:
        """CINN's rule: for each window of sizes the variant with the smallest mean time over the points in it."""
        places = [_window_of(dim, sizes) for dim, sizes in zip(grid.dims, grid.sizes, strict=True)]
        cells = list(itertools.product(*places))
        best = {}
        for cell in dict.fromkeys(cells):
            inside = [point for point, own in enumerate(cells) if own == cell]
            best[cell] = int(np.argmin(secs[:, inside].mean(axis=1)))
        return cls(grid, tuple(best[cell] for cell in cells))

    def __call__(self, sizes: Mapping[str, int]) -> int:
        return self.variants[self.grid.cell(sizes)]

    @property
    def expression(self) -> str:
        """As a person reads it, and a compiler could: nested choices by the first size of each range.

        >>> from flextune.workload.dim import Dim
        >>> Dispatch(Grid((Dim("m", 1, 64),), ((1, 8, 64),)), (2, 0, 0)).expression
        '2 if m < 3 else 0'
        """
        return self._part(0, 0, len(self.variants))

    def _part(self, dimension: int, begin: int, length: int) -> str:
        if len(set(self.variants[begin : begin + length])) == 1:
            return str(self.variants[begin])
        name, edges = self.grid.dims[dimension].name, self.grid.edges[dimension]
        size = length // (len(edges) + 1)
        parts = [self._part(dimension + 1, begin + place * size, size) for place in range(len(edges) + 1)]
        text = ""
        for part, following, edge in zip(parts, parts[1:], edges, strict=False):
            if part != following:
                text += f"{_bracketed(part)} if {name} < {edge} else "
        return text + _bracketed(parts[-1])


def _window_of(dim: Dim, sizes: Sequence[int]) -> list[int]:
    """The number of the window that each size is in."""
    return [next(number for number, (_, last) in enumerate(windows(dim)) if size <= last) for size in sizes]


def _bracketed(text: str) -> str:
    return f"({text})" if " if " in text else text
