"""The constants of a model as one block of bytes."""

from __future__ import annotations

import numpy as np

from flextune.aligned import ALIGNMENT_BYTES
from flextune.apply.equal_bytes import EqualBytes, bytes_at
from flextune.apply.huge_pages import huge_block
from flextune.apply.straight_line import Buffer, StraightLine


def weight_block(code: StraightLine, offsets: dict[Buffer, int]) -> np.ndarray:
    """The weights in one block, equal ones once, and their places added to `offsets`."""
    size, stored = 0, EqualBytes()
    distinct: list[tuple[int, np.ndarray]] = []
    for buffer, value in code.constants:
        content = bytes_at(int(value.data_ptr()), buffer.nbytes)
        offsets[buffer] = stored.setdefault(content, size)
        if offsets[buffer] == size and buffer.nbytes > 0:
            distinct.append((size, content))
            size += -(-buffer.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    block = huge_block(size)
    for offset, content in distinct:
        block[offset : offset + content.size] = content
    return block
