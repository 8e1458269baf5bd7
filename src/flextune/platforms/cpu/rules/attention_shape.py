"""What of an attention's schedule is fixed before anything is searched: its extents, and possible sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flextune.analysis.attention_facts import AttentionFacts
from flextune.platforms.cpu.limits import CpuLimits

_MOST_ROWS = 16
_MOST_VECTORS = 8
_MOST_WASTE = 1.25
_KEY_BLOCKS = (64, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """One attention on one kind of core."""

    matrices: int
    """How many matrices of queries x keys there are."""
    queries: int
    """Rows of a matrix."""
    keys: int
    """Columns of a matrix."""
    depth: int
    """Elements of a query and of a key."""
    columns: int
    """Elements of a value and of a result."""
    online: bool
    """Whether softmax goes by blocks of keys."""
    transposes_keys: bool
    """Whether a key's elements are apart in memory."""
    limits: CpuLimits
    """Of the core."""
    element_bytes: int = 4
    """Bytes of what one step of a product takes: `group` elements together."""
    group: int = 1
    """Elements that one step of a product takes: 2 of bfloat16, else 1."""

    @classmethod
    def of(cls, facts: AttentionFacts, limits: CpuLimits) -> AttentionShape:
        """The shape of `facts`; an online softmax needs more than one block of keys."""
        online = facts.online and facts.keys > min(_KEY_BLOCKS)
        return cls(
            math.prod(facts.batch),
            facts.queries,
            facts.keys,
            facts.depth,
            facts.columns,
            online,
            not facts.key.contiguous_in(-1),
            limits,
            group=2 if facts.narrow else 1,
        )

    @property
    def depth_steps(self) -> int:
        """Steps of the first product: elements, or pairs of bfloat16."""
        return math.ceil(self.depth / self.group)

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return self.limits.lanes("float32")

    @property
    def rows(self) -> list[int]:
        """Rows of a strip that leave at most a quarter of the rows padding."""
        most = min(self.queries, _MOST_ROWS)
        return [r for r in range(1, most + 1) if math.ceil(self.queries / r) * r <= _MOST_WASTE * self.queries]

    @property
    def score_vectors(self) -> list[int]:
        return list(range(1, min(math.ceil(self.keys / self.lanes), _MOST_VECTORS) + 1))

    @property
    def value_vectors(self) -> list[int]:
        return list(range(1, min(math.ceil(self.columns / self.lanes), _MOST_VECTORS) + 1))

    @property
    def key_blocks(self) -> list[int]:
        """Of an online softmax; each leaves two blocks at least."""
        return [block for block in _KEY_BLOCKS if block < self.keys]
