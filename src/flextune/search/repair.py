"""From any point of a space to a member of the set that was not asked before."""

from __future__ import annotations

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.encoding import Coordinates, Encoding
from flextune.search.unseen import Unseen, joined, row_keys

_SPREADS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Standard deviations, as parts of a gene's range, of what is tried when the nearest member is known already."""
_TRIES = 8


def nearest_unseen(encoding: Encoding, unseen: Unseen, rng: np.random.Generator, wanted: Coordinates) -> Assignments:
    """For each of the rows a different unseen member near it: the nearest one, unless that is known or taken.

    Then the point is moved about a little, and more as that fails; last comes a uniform draw. Row i of the result
    belongs to row i of `wanted`; when there are too few unseen members the last rows have none.
    """
    rows = min(len(wanted), unseen.count)
    found: list[Assignments] = []
    owners: list[int] = []
    taken: set[bytes] = set()
    for spread in _SPREADS:
        open_rows = np.setdiff1d(np.arange(rows), owners)
        if found and not len(open_rows):
            break
        tried = open_rows if not spread else np.repeat(open_rows, _TRIES)
        points = wanted[tried] + spread * rng.standard_normal((len(tried), encoding.genes))
        members = encoding.nearest(points, rng)
        kept: dict[int, int] = {}
        for index in unseen.fresh(members, taken).tolist():
            kept.setdefault(int(tried[index]), index)
        found.append(members.take(np.array(list(kept.values()), dtype=np.intp)))
        owners += kept
        taken.update(row_keys(found[-1], tuple(members.columns)))
    if len(owners) < rows:
        found.append(unseen.draw(rng, rows - len(owners), besides=joined(found)))
        owners += np.setdiff1d(np.arange(rows), owners).tolist()
    return joined(found).take(np.argsort(np.array(owners, dtype=np.intp)))
