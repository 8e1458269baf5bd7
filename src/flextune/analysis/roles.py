"""The part a block plays in an algorithm of several blocks, written into the program itself.

Rules that schedule such an algorithm as a whole find its blocks by role; every other rule may ignore roles.
"""

from __future__ import annotations

from typing import Any

from flextune.analysis.program_facts import BlockFacts, ProgramFacts
from flextune.workload.roles import ROLE


def role_of(facts: BlockFacts) -> str | None:
    """The role of a block, or None."""
    annotations: Any = facts.block.annotations if facts.block is not None else {}
    return str(annotations[ROLE]) if ROLE in annotations else None


def block_in_role(program: ProgramFacts, role: str) -> BlockFacts | None:
    """The only block with this role; None when there is none, or several."""
    found = [block for block in program.blocks if role_of(block) == role]
    return found[0] if len(found) == 1 else None
