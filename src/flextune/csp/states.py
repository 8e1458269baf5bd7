"""Parts of the states of a layer, dictionary-encoded: a code per row into a small table of values.

States are many and their values few: operations work on the tables, and on rows only by look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]

_TABLE_LIMIT = 1 << 22
_DENSE_LIMIT = 1 << 26


@dataclass
class Register:
    """One part of the state: a code per row into a table of values."""

    codes: Codes
    values: Numbers

    def take(self, rows: Rows) -> Register:
        return Register(self.codes[rows], self.values)


def joined(registers: Sequence[Register], *, sparse: bool = False) -> tuple[Rows, list[Numbers]]:
    """Combinations of the registers' values, and for each row the combination it has.

    All combinations while they are few, only those that occur where they are many (or `sparse`).
    """
    sizes = [len(register.values) for register in registers]
    rows = len(registers[0].codes)
    combinations = int(np.prod(np.array(sizes, dtype=object)))
    if combinations >= 2**62:
        head, known = joined(registers[:-1], sparse=True)
        merged = Register(head.astype(np.int32), np.arange(len(known[0])))
        joint, (first, last) = joined([merged, registers[-1]], sparse=True)
        return joint, [*(column[first] for column in known), last]
    joint = np.zeros(rows, dtype=np.int64)
    for register, size in zip(registers, sizes, strict=True):
        joint *= size
        joint += register.codes
    present = (
        np.arange(combinations) if not sparse and combinations <= max(1 << 12, min(_TABLE_LIMIT, 2 * rows)) else None
    )
    if present is None:
        target, first, _ = grouped(joint, combinations)
        present, joint = joint[first], target.astype(np.int64)
    columns: list[Numbers] = []
    rest = present
    for register, size in zip(reversed(registers), reversed(sizes), strict=True):
        rest, codes = np.divmod(rest, size)
        columns.append(register.values[codes])
    return joint, columns[::-1]


def grouped(key: npt.NDArray[np.int64], span: int) -> tuple[npt.NDArray[np.int32], Rows, int]:
    """Number equal keys (all in [0, span)) alike: the number of each, one position of each number, how many numbers."""
    if span <= max(4 * len(key), 1 << 12) and span <= _DENSE_LIMIT:
        seen = np.zeros(span, dtype=bool)
        seen[key] = True
        present = np.flatnonzero(seen)
        number = np.zeros(span, dtype=np.int32)
        number[present] = np.arange(len(present), dtype=np.int32)
        target, count = number[key], len(present)
    else:
        unique, inverse = np.unique(key.astype(np.uint32) if span < 2**32 else key, return_inverse=True)
        target, count = inverse.astype(np.int32), len(unique)
    first = np.zeros(count, dtype=np.intp)
    first[target] = np.arange(len(key))
    return target, first, count
